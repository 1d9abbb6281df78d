"""Draw a study: the outcomes of its runs, and norms during training."""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from speakerid.base.files import atomic_file
from speakerid.base.palette import COLORS

from .grid import MOST_AXES, Study
from .probe import MEASURES
from .running import OUTCOMES, Result
from .tables import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS: dict[str, dict[str, Any]] = {
    "learned": {"marker": "o"},
    "never learned": {"marker": "o", "markerfacecolor": "white"},
    "collapsed": {"marker": "v", "markerfacecolor": "white"},
    "diverged": {"marker": "x"},
}
_SHIFT = 0.12
"""Distance between the points of two colors, in steps of the horizontal axis."""
_LEVEL = 6
"""Longest level name, in characters, that is written horizontally below a panel; longer names are rotated."""
_SHOWN = {"embedding_norm": False, "common_share": False, "gradient_norm": True, "input_gradient": True}
"""Measures in the picture of norms, and whether their scale is logarithmic."""
_SMALLEST = 1e-5
"""Smallest value on a logarithmic scale."""
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.axisbelow": True, "axes.grid": True, "grid.alpha": 0.3, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "text.parse_math": False,
}  # fmt: skip


PICTURES = ("outcomes.png", "norms.png")


def draw(folder: Path, study: Study, results: Results) -> None:
    """Write outcomes.png and norms.png."""
    from matplotlib import rc_context, rcdefaults, rcParams  # takes half a second to import

    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        for name, picture in zip(PICTURES, (outcomes, _norms), strict=True):
            with atomic_file(folder / name) as partial:
                picture(study, results).savefig(partial, format="png", dpi=110)


def _figure(rows: int, columns: int, width: float = 2.6, below: float = 0.9) -> "Figure":
    """Empty figure of panels that are `width` inches wide, with `below` inches below them."""
    from matplotlib.figure import Figure

    return Figure(figsize=(1.2 + width * columns, below + 2.0 * rows), layout="constrained")


def outcomes(study: Study, results: Results) -> "Figure":
    """Draw the final accuracy of every run, by the last axis horizontally and by the one before it in colors."""
    padding = [("", [""])] * (MOST_AXES - len(study.axes))
    (_, rows), (_, columns), (color_axis, colors), (horizontal, ticks) = [*padding, *study.axes.items()]
    turned: dict[str, Any] = {}
    room: dict[str, float] = {}
    if max(map(len, ticks)) > _LEVEL:
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        room = {"width": max(4.2, 0.7 * len(ticks)), "below": 2.4}
    figure = _figure(len(rows), len(columns), **room)
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)

    def of(*levels: str) -> list[Result]:
        wanted = levels[len(padding) :]
        return [result for cell, result in results.items() if cell.levels == wanted]

    for (r, row), (c, column) in product(enumerate(rows), enumerate(columns)):
        for turn, color in enumerate(colors):
            shift = _SHIFT * (turn - (len(colors) - 1) / 2)
            _points(grid[r, c], [of(row, column, color, tick) for tick in ticks], shift, COLORS[turn % 7])
        grid[r, c].set_title(" | ".join(filter(None, (row, column))), fontsize=9)
        grid[r, c].set_xticks(range(len(ticks)), ticks, **turned)
        if r == len(rows) - 1:
            grid[r, c].set_xlabel(horizontal)
    grid[0, 0].set_ylim(bottom=0)
    figure.supylabel("final validation accuracy, %", fontsize=10)
    entries = [({"color": COLORS[turn % 7]}, f"{color_axis} {level}") for turn, level in enumerate(colors) if level]
    entries += [({"color": "0.3", "linestyle": "none", **_MARKERS[outcome]}, outcome) for outcome in OUTCOMES]
    _legend(figure, entries, 2 * len(columns))
    return figure


def _points(axes: "Axes", runs: Sequence[Sequence[Result]], shift: float, color: str) -> None:
    """Draw every run, marked by its outcome, and a line through the means; a run without validation is at 0."""
    means = [mean(100 * (result.final or 0.0) for result in at) if at else float("nan") for at in runs]
    axes.plot([tick + shift for tick in range(len(runs))], means, color=color, linewidth=1)
    for outcome, marker in _MARKERS.items():
        found = [(tick, 100 * (r.final or 0.0)) for tick, at in enumerate(runs) for r in at if r.outcome == outcome]
        x, y = [tick + shift for tick, _ in found], [accuracy for _, accuracy in found]
        axes.plot(x, y, linestyle="none", color=color, markersize=4.5, **marker)


def _norms(study: Study, results: Results) -> "Figure":
    """Draw measures during training, by the first axis in rows and by the second in colors; others are pooled."""
    *row_axis, color_axis = list(study.axes)[:2]
    rows = study.axes[row_axis[0]] if row_axis else [""]
    figure = _figure(len(rows), len(_SHOWN))
    grid = figure.subplots(len(rows), len(_SHOWN), squeeze=False, sharex=True, sharey="col")
    for (r, row), (c, measure) in product(enumerate(rows), enumerate(_SHOWN)):
        axes = grid[r, c]
        for turn, color in enumerate(study.axes[color_axis]):
            wanted = (row, color) if row_axis else (color,)
            runs = [result for cell, result in results.items() if cell.levels[: len(wanted)] == wanted]
            _courses(axes, runs, measure, COLORS[turn % 7])
        if _SHOWN[measure]:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        if r == 0:
            axes.set_title(measure.replace("_", " "), fontsize=9)
        if r == len(rows) - 1:
            axes.set_xlabel("step")
    for axes, row in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(row)
    entries: list[tuple[dict[str, Any], str]] = [
        ({"color": COLORS[turn % 7]}, level) for turn, level in enumerate(study.axes[color_axis])
    ]
    entries += [({"color": "0.3"}, "learned"), ({"color": "0.3", "linestyle": "--"}, "others (median, quartiles)")]
    _legend(figure, entries, 2 * len(_SHOWN))
    return figure


def _courses(axes: "Axes", runs: Sequence[Result], measure: str, color: str) -> None:
    """Draw medians and quartiles of the runs that learned and of the others."""
    for learned, dash in ((True, "-"), (False, "--")):
        values: dict[float, list[float]] = {}
        for run in runs:
            for line in run.trace if (run.outcome == "learned") == learned else ():
                if measure in line:
                    values.setdefault(line["step"], []).append(max(line[measure], _SMALLEST))
        if values:
            steps = sorted(values)
            low, middle, high = np.array([np.percentile(values[step], (25, 50, 75)) for step in steps]).T
            axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
            axes.plot(steps, middle, dash, color=color, linewidth=1.6)


def _legend(figure: "Figure", entries: Iterable[tuple[dict[str, Any], str]], most: int) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], label=label, **style) for style, label in entries]
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), most), fontsize=8)


assert set(_SHOWN) <= set(MEASURES)

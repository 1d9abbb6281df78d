"""Plot runs in one figure: validation accuracy and training loss over the steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_file
from speakerid.base.palette import COLORS
from speakerid.base.printing import printable
from speakerid.training.metrics_log import Record
from speakerid.training.runs import Run, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

FORMATS = (".png", ".svg", ".pdf")
SMOOTHED_SHARE = 0.02
"""Share of the longest run's steps over which the training loss is averaged."""
DIVERGED = 1.5
"""Upper end of the loss axis, as a multiple of the greatest initial loss of a run."""
FEW = 20
"""Largest number of points for which every point has a marker."""
WIDE = 60
"""Longest legend entry, in characters, for a legend of two columns."""

# Markers distinguish lines of similar color, and dashes distinguish them between the markers.
_MARKERS = "osD^vPX<>*"
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)))
SHOWN = len(_MARKERS)
"""Number of runs in color, the best ones; the others are gray."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps, and the value at each step."""


def plot_runs(runs: Sequence[Run], folder: StrPath, path: StrPath) -> None:
    """Plot runs to a file.

    Args:
        runs: the best first; runs that have logged nothing yet are left out.
        folder: folder of the runs, for the title.
        path: a .png, .svg or .pdf file.

    Raises:
        UserError: another format, nothing to plot, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{path}: found the format {path.suffix!r}, expected one of {', '.join(FORMATS)}")
    curves = [(run, *_curves(run)) for run in runs if run.step is not None]
    curves = [(run, accuracy, loss) for run, accuracy, loss in curves if len(accuracy[0]) or len(loss[0])]
    if not curves:
        raise UserError(f"{folder}: nothing to plot: no run has logged a loss or an accuracy yet")

    from matplotlib import rc_context, rcdefaults, rcParams  # takes half a second to import
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        figure = Figure(layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
        left, right = figure.subplots(1, 2, sharex=True)
        handles = _draw(left, right, curves)
        columns = 2 if len(handles) > 3 and max(len(str(line.get_label())) for line in handles) <= WIDE else 1
        figure.set_size_inches(11, 4.8 + 0.22 * len(handles) / columns)
        figure.suptitle(_title(len(curves), str(folder)))
        figure.legend(handles=handles, title="best validation accuracy", loc="outside lower center", ncols=columns)
        with atomic_file(path) as partial:
            figure.savefig(partial, format=suffix[1:], dpi=150)


_STYLE: dict[Any, Any] = {
    "font.size": 10, "text.parse_math": False, "axes.axisbelow": True, "axes.grid": True, "grid.alpha": 0.3,
    "axes.spines.top": False, "axes.spines.right": False, "lines.linewidth": 1.4, "lines.markersize": 5,
    "legend.frameon": False, "pdf.fonttype": 42,
}  # fmt: skip


def _title(count: int, folder: str) -> str:
    runs = f"{count:,} run{'' if count == 1 else 's'} in {_shortened(folder)}"
    return f"{runs}, the best {SHOWN} in color" if count > SHOWN else runs


def _draw(left: "Axes", right: "Axes", curves: Sequence[tuple[Run, Curve, Curve]]) -> "list[Line2D]":
    """Plot accuracy on the left and loss on the right; returns the lines for the legend."""
    window = SMOOTHED_SHARE * max(steps[-1] for _, *both in curves for steps, _ in both if len(steps))
    handles = []
    for index, (run, accuracy, loss) in reversed(list(enumerate(curves))):  # the best drawn last, over the others
        best = "no validation" if run.best_accuracy is None else f"{run.best_accuracy:.4f}"
        (line,) = left.plot(*accuracy, **_style(index, accuracy), label=f"{best}  {_shortened(run.name)}")
        right.plot(loss[0], _smoothed(loss, window), **_style(index, loss))
        if index <= SHOWN:
            handles.append(line)
    if len(curves) > SHOWN:
        handles[0].set_label(f"{len(curves) - SHOWN:,} others")
    first = max((loss[1][0] for _, _, loss in curves if len(loss[1])), default=None)
    if first:
        right.set_ylim(0, min(right.get_ylim()[1], DIVERGED * first))
    left.set_ylim(max(left.get_ylim()[0], 0), min(left.get_ylim()[1], 1))
    left.set_ylabel("validation accuracy")
    right.set_ylabel(f"training loss, mean over {window:,.0f} steps" if window >= 2 else "training loss")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    return handles[::-1]


def _shortened(name: str) -> str:
    name = printable(name)
    return name if len(name) <= 2 * WIDE else "…" + name[-2 * WIDE :]


def _style(index: int, curve: Curve) -> dict[str, Any]:
    if index >= SHOWN:
        return {"color": "0.8", "linewidth": 0.8, "zorder": 1}
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": _DASHES[index // len(COLORS)],
        "marker": _MARKERS[index],
        # A tenth of the axes apart, offset so that markers of different runs do not coincide.
        "markevery": (0.01 * index, 0.1) if len(curve[0]) > FEW else None,
        "zorder": 2,
    }


def _curves(run: Run) -> tuple[Curve, Curve]:
    log = read_log(run.path)
    return _curve(log.valid, "accuracy"), _curve(log.train, "loss")


def _curve(records: Sequence[Record], name: str) -> Curve:
    points = np.array([(record.step, getattr(record, name)) for record in records], np.float64).reshape(-1, 2)
    steps, values = points[np.isfinite(points[:, 1])].T
    return steps, values


def _smoothed(curve: Curve, window: float) -> NDArray[np.float64]:
    """Moving average of a curve over `window` steps."""
    steps, values = curve
    first = np.searchsorted(steps, steps - window / 2, "left")
    last = np.searchsorted(steps, steps + window / 2, "right")
    return np.array([values[start:end].mean() for start, end in zip(first, last, strict=True)])

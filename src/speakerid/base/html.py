"""Self-contained HTML reports, without scripts or network access, and their figures."""

import io
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Inks:
    """Colors of a figure."""

    ink: str
    """Color of text."""
    faint: str
    """Color of axes and of secondary text."""
    bar: str
    """Color of the data."""
    limit: str
    """Color of data beyond a limit."""


PAGE_INKS = Inks("#010206", "#010203", "#010204", "#010205")
"""Placeholders for the page's CSS variables, which follow the reader's light or dark mode."""
PAPER_INKS = Inks("#1c1e21", "#6b7078", "#4a7fa7", "#c0492f")
"""Colors on a white background."""
_VARIABLES = Inks("var(--ink)", "var(--faint)", "var(--bar)", "var(--limit)")

Size = tuple[float, float]
"""Width and height of a figure in inches."""
Draw = Callable[["Axes", Inks], None]


@dataclass(frozen=True)
class Plot:
    """A figure of the page."""

    title: str
    caption: str
    svg: str
    """Empty if there is nothing to draw."""


def render(template: str, **values: Any) -> str:
    """Fill in a template of `speakerid/templates`; all text is escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("speakerid"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip


def svg(title: str, draw: Draw, size: Size = (4.4, 2.0)) -> str:
    """SVG of a figure in the colors and the font of the page around it; the same drawing gives the same bytes.

    Args:
        title: unique within the page, since the names of the figure's shapes are derived from it.
        draw: draws on the given axes, in the given colors.
        size: size of the figure; the page keeps its proportions.
    """
    file = io.StringIO()
    metadata = {"Date": None, "Creator": None}
    _draw(
        lambda figure: figure.savefig(file, format="svg", transparent=True, metadata=metadata),
        draw,
        PAGE_INKS,
        size,
        {"svg.hashsalt": title},
    )
    return _adapt_svg(file.getvalue())


def save_png(path: Path, title: str, draw: Draw, size: Size = (4.4, 2.0)) -> None:
    """Save the same figure as a PNG file on white, with its title.

    Args:
        path: file to write.
        title: title above the figure.
        draw: draws on the given axes, in the given colors.
        size: size of the figure.
    """

    def save(figure: "Figure") -> None:
        figure.suptitle(title, fontsize=10, color=PAPER_INKS.ink)
        figure.savefig(path, format="png", dpi=200, metadata={"Software": "speakerid"})

    _draw(save, draw, PAPER_INKS, size, {})


def _draw(save: Callable[["Figure"], None], draw: Draw, inks: Inks, size: Size, settings: dict[str, Any]) -> None:
    """Draw and save a new figure, regardless of the user's matplotlibrc."""
    from matplotlib import rc_context, rcdefaults, rcParams  # takes half a second to import
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()
        chosen: dict[Any, Any] = {**_FIGURE, **dict.fromkeys(_FAINT, inks.faint), **settings}
        rcParams.update(chosen)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), inks)
        save(figure)


_FAINT = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
_FIGURE: dict[str, Any] = {
    "svg.fonttype": "none", "font.size": 9, "text.parse_math": False, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.linewidth": 0.6,
    "ytick.major.size": 0, "xtick.major.width": 0.6, "xtick.major.size": 3,
    "axes.grid": True, "axes.grid.axis": "y", "grid.alpha": 0.25, "grid.linewidth": 0.5,
}  # fmt: skip


def _adapt_svg(figure: str) -> str:
    """Remove prolog, fixed size and the names of groups, which would not be unique in a page with several figures."""
    figure = re.sub(r"<metadata>.*?</metadata>", "", figure[figure.index("<svg") :], flags=re.DOTALL)
    figure = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        r'<svg \1 role="img" xmlns:xlink="http://www.w3.org/1999/xlink">',
        figure,
        count=1,
    )
    figure = re.sub(r'<g id="[^"]*"', "<g", figure)
    for color, variable in zip(astuple(PAGE_INKS), astuple(_VARIABLES), strict=True):
        figure = figure.replace(color, variable)
    return re.sub(r"\s*\n\s*", "\n", figure).strip()

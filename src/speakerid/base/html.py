"""Self-contained HTML reports, without scripts or network access, and their figures."""

import io
import re
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def html_page(title: str, body: Iterable[str]) -> str:
    """HTML page with the given pieces of HTML as its body."""
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join(body))


def html_plot(plot: Plot) -> str:
    """HTML of a figure with its title and caption."""
    return f"<figure><h3>{escape(plot.title)}</h3>{plot.svg}<figcaption>{escape(plot.caption)}</figcaption></figure>"


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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fdfdfc; --faint: #6b7078; --line: #e3e3df;
  --bar: #4a7fa7; --limit: #c0492f; --panel: #f5f5f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #dcdedf; --paper: #17191c; --faint: #969ca5; --line: #33373c;
  --bar: #6c9fc6; --limit: #e27a5f; --panel: #1f2226; } }
body { margin: 0 auto; max-width: 54rem; padding: 3rem 1.5rem 6rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; font-weight: 650; letter-spacing: -.015em;
  overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 3.2rem 0 .8rem; font-weight: 650; }
h3 { font-size: .95rem; margin: 0 0 .3rem; font-weight: 600; }
p { margin: .3rem 0; } a { color: inherit; }
.lead { font-size: 1.1rem; } .faint { color: var(--faint); font-size: .9rem; }
.glance { list-style: none; margin: 1.6rem 0 2.4rem; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem; }
.glance a { display: block; padding: .25rem .75rem; border: 1px solid var(--line); border-radius: 1rem;
  text-decoration: none; font-size: .9rem; } .glance a:hover { border-color: var(--limit); }
.glance b { color: var(--limit); font-weight: 650; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 2rem 2.2rem;
  margin: 0 0 1rem; }
figure { margin: 0; } figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif !important; }
figcaption { color: var(--faint); font-size: .82rem; line-height: 1.4; }
.wide { overflow-x: auto; } .interval { color: var(--faint); font-size: .74rem; white-space: nowrap; }
.wide td.faint { white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; min-width: 7rem; overflow-wrap: break-word; }
thead th { color: var(--faint); font-weight: 500; vertical-align: bottom; }
.group th { color: var(--faint); padding-top: .9rem; } .bad { color: var(--limit); font-weight: 600; }
section[id] { margin: 0 0 1.8rem; } section[id] h3 { font-size: 1.02rem; }
.advice { color: var(--faint); } .findings { margin: .5rem 0 0; padding: 0; list-style: none; font-size: .9rem; }
.findings li { padding: .35rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
details { font-size: .85rem; color: var(--faint); } td details { min-width: 3rem; }
td details p { text-align: left; white-space: nowrap; } summary { cursor: pointer; }
"""

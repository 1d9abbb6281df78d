"""Draw docs/floors.svg from the table of floors in docs/design.md.

Run it after changing the table:
  python scripts/site_pages/floors_picture.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
WIDTH, HEIGHT, GAP, LEFT = 760, 46, 10, 34
"""Width of the picture, height of a floor, space between boxes, and width of the column of floor numbers."""
COLORS = ("#e0f2f1", "#b2dfdb")
ROW = re.compile(r"^\| (\d) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def floors(design: str) -> dict[int, list[tuple[str, str]]]:
    """Packages of every floor, with what they know, from the text of the page."""
    found = defaultdict(list)
    for floor, where, knows in ROW.findall(design):
        found[int(floor)].append((where.replace("`", ""), knows.replace("`", "")))
    return dict(found)


def draw(design: str) -> str:
    """SVG picture: one row per floor, the highest on top, a box per package."""
    rows = sorted(floors(design).items(), reverse=True)
    height = len(rows) * (HEIGHT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for index, (floor, packages) in enumerate(rows):
        top = GAP + index * (HEIGHT + GAP)
        width = (WIDTH - LEFT - GAP * len(packages)) / len(packages)
        parts.append(f'<text x="12" y="{top + 29}" font-size="15" fill="#666">{floor}</text>')
        for column, package in enumerate(packages):
            parts += _box(LEFT + column * (width + GAP), top, width, package, COLORS[index % 2])
    return "\n".join([*parts, "</svg>\n"])


def _box(left: float, top: int, width: float, package: tuple[str, str], color: str) -> list[str]:
    name, knows = package
    middle, letters = left + width / 2, int(width / 5.6)
    if len(knows) > letters:
        end = max(knows.rfind(mark, 0, letters) for mark in ",;:")
        knows = knows[:end] if end > 0 else f"{knows[: letters - 1].rstrip()}…"
    text = f'text-anchor="middle" x="{middle:.0f}"'
    shape = f'x="{left:.0f}" y="{top}" width="{width:.0f}" height="{HEIGHT}" rx="6"'
    return [
        f'<rect {shape} fill="{color}" stroke="#00897b"/>',
        f'<text {text} y="{top + 19}" font-size="14" font-weight="bold" fill="#004d40">{escape(name)}</text>',
        f'<text {text} y="{top + 36}" font-size="11" fill="#333">{escape(knows)}</text>',
    ]


if __name__ == "__main__":
    (DOCS / "floors.svg").write_text(draw((DOCS / "design.md").read_text(encoding="utf-8")), encoding="utf-8")

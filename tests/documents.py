"""Pages of the documentation, and what their fenced blocks contain."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Fenced block of a page."""

    page: str
    line: int
    language: str
    code: str

    @property
    def commands(self) -> list[str]:
        """Commands of a shell block: every line, or with `console` those after a `$`; continued lines are joined."""
        lines = self.code.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        return [line.strip() for line in lines if line.strip()]


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.relative_to(ROOT).as_posix(),
            text.count("\n", 0, found.start()) + 1,
            found[2].strip(),
            re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in BLOCK.finditer(text)
    ]


def prose_of(page: Path) -> str:
    """Text of a page with blanks in place of fenced blocks and inline code, so that lines keep their numbers."""
    text = BLOCK.sub(lambda found: "\n" * found[0].count("\n"), page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`]*`", lambda found: re.sub(r"[^\n]", " ", found[0]), text)

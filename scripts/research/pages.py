"""Write the pages of results: docs/results.md, docs/results/*.md, docs/measured.md, study.md and performance.md.

  python scripts/research/pages.py

A page is its template in scripts/research/templates/ with tables for the lines `<<TABLE COLUMN=VALUE …>>`: the rows of
scripts/research/results/TABLE.csv that have these values. The table `summary` is made of rows of several files, and is
drawn in docs/results.png.
"""

import argparse
import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from result_tables import DASH, columns, markdown, quantity, select
from speakerid import UserError
from speakerid.base.files import atomic_file
from speakerid.base.palette import COLORS
from speakerid.cli import exit_with

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).resolve().parent / "templates"
CHART = ROOT / "docs" / "results.png"
MARKER = re.compile(r"^<<(.+)>>$", re.MULTILINE)
SUMMARY_TABLE = "summary"
OURS = "few_minutes"
MODELS = ("linear baseline", "Task 2", "ECAPA-TDNN (SpeechBrain)", "Resemblyzer, pretrained", OURS)
"""Columns of the summary."""
_COLORS = ("#999999", COLORS[4], COLORS[5], COLORS[3], COLORS[0])


@dataclass(frozen=True)
class Test:
    """Row of the summary.

    Attributes:
        title: what is tested.
        table: name of the CSV file.
        conditions: values of its columns.
        column: duration of the test utterances.
        titles: titles of models that have another one in this file.
    """

    title: str
    table: str
    conditions: dict[str, str]
    column: str
    titles: dict[str, str]

    def figures(self) -> Iterator[dict[str, str] | None]:
        """Row of the CSV file for each of `MODELS`; None if it was not measured."""
        by_model = {row["model"]: row for row in select(self.table, self.conditions)}
        return (by_model.get(self.titles.get(model, model)) for model in MODELS)


def _comparison(title: str, corpus: str, budget: str, column: str, classifier: str = "logistic regression") -> Test:
    titles = {"Resemblyzer, pretrained": f"Resemblyzer, {classifier}"}  # the better one
    return Test(title, "comparison", {"corpus": corpus, "budget": budget}, column, titles)


def _occasions(title: str, measure: str, column: str) -> Test:
    titles = {
        "ECAPA-TDNN (SpeechBrain)": "ECAPA-TDNN (SpeechBrain), classifier",
        "Resemblyzer, pretrained": "Resemblyzer, nearest centroid",
        OURS: "`few_minutes`, bundle",
    }
    return Test(title, "occasions", {"design": "meetings", "measure": measure}, column, titles)


SUMMARY = (
    _comparison("22 voices, one microphone each", "voices-all", "45 s", "whole"),
    _comparison("the same, channel equalized, 1 s of speech", "voices-all-equalized", "45 s", "1 s"),
    _comparison("each of the 22 at 13 speeds: 286 classes", "speeds", "90 s", "whole", "nearest centroid"),
    _comparison("600 synthetic voices, unseen channels", "demo-600", "150 s", "whole"),
    _occasions("22 voices on an unseen occasion", "accuracy", "whole"),
    _occasions("… named where 1 % of strangers are", "identified", "whole"),
)


def main() -> int:
    form = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=form).parse_args()
    for page, text in pages().items():
        page.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(page) as partial:
            partial.write_text(text, encoding="utf-8")
    with atomic_file(CHART) as partial:
        draw(partial)
    return 0


def pages() -> dict[Path, str]:
    """Texts of all pages."""
    return {ROOT / "docs" / path.relative_to(TEMPLATES): page(path) for path in sorted(TEMPLATES.rglob("*.md"))}


def page(template: Path) -> str:
    """Text of a page, from its template.

    Raises:
        UserError: a marker names no rows.
    """

    def filled(marker: re.Match[str]) -> str:
        try:
            return table(marker[1])
        except UserError as error:
            raise UserError(f"{template}: <<{marker[1]}>>: {error}") from error

    source = template.relative_to(ROOT).as_posix()
    comment = f"<!-- Written by scripts/research/pages.py; edit {source} instead. -->"
    return f"{comment}\n\n{MARKER.sub(filled, template.read_text(encoding='utf-8'))}"


def table(marker: str) -> str:
    """Markdown table for the text of a marker."""
    name, conditions = parsed(marker)
    if name == SUMMARY_TABLE:
        return markdown(["identified, %", *MODELS], [[test.title, *_cells(test)] for test in SUMMARY])
    rows = select(name, conditions)
    shown = columns(rows, conditions)
    return markdown(shown, [[quantity(row, column) for column in shown] for row in rows])


def parsed(marker: str) -> tuple[str, dict[str, str]]:
    """Name of the CSV file and conditions of a marker."""
    name, *conditions = shlex.split(marker)
    return name, dict(condition.split("=", 1) for condition in conditions)


def _cells(test: Test) -> list[str]:
    return [quantity(row, test.column) if row else DASH for row in test.figures()]


def digest() -> str:
    """Hash of what the chart shows."""
    shown = [(test.title, *_cells(test)) for test in SUMMARY]
    return hashlib.sha256(repr((MODELS, _COLORS, shown)).encode()).hexdigest()


def draw(path: Path) -> None:
    """Draw the summary as bars with intervals; the file holds the `digest` of what it shows."""
    from matplotlib.figure import Figure  # takes half a second to import

    figure = Figure(figsize=(8, 5.2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(MODELS)
    for number, (model, color) in enumerate(zip(MODELS, _COLORS, strict=True)):
        for place, test in enumerate(SUMMARY):
            row = list(test.figures())[number]
            if row is None:
                continue
            value, low, high = (float(row[test.column + ending]) for ending in ("", " low", " high"))
            y = place - 0.4 + height * (number + 0.5)
            axes.barh(y, value, height, color=color, label=model if place == 0 else None)
            axes.errorbar(value, y, xerr=[[value - low], [high - value]], color="black", linewidth=0.8, capsize=1.5)
            axes.text(max(high, value) + 1, y, f"{value:.1f}", va="center", fontsize=7)
    axes.set_yticks(range(len(SUMMARY)), [test.title.replace(", ", ",\n", 1) for test in SUMMARY], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("identified, % (line: 95 % interval)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, format="png", dpi=110, metadata={"Description": digest()})


if __name__ == "__main__":
    exit_with(main)

"""Write a study's results as CSV and as Markdown."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from statistics import mean, median, stdev

from result_tables import cell, markdown
from speakerid.base.files import atomic_file
from speakerid.cli.kinds import Kind

from .grid import Cell, Study
from .probe import MEASURES
from .running import OUTCOMES, Result

Results = Mapping[Cell, Result]
TABLE = "results.csv"
OWN = ("seed", "outcome", "step", "parameters", "best_accuracy", "final_accuracy", "training_loss", "run")
"""Columns of every study's table, after those of its axes."""
KIND = Kind("a study's table", lambda path: ",".join(OWN).encode() in path.read_bytes()[:10_000])


def write_csv(path: Path, study: Study, results: Results) -> None:
    """Write one line per run, in the order of the grid; every measure at the first step, its maximum and the last."""
    columns = [f"{name}_{when}" for name in MEASURES for when in ("first", "largest", "last")]
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*study.axes, *OWN, *columns])
        for cell, result in results.items():
            figures = [result.best, result.final, result.loss]
            of_run = [cell.config.seed, result.outcome, result.step, result.parameters, *figures, cell.name]
            writer.writerow([*cell.levels, *of_run, *(value for name in MEASURES for value in _summary(result, name))])


def _summary(result: Result, name: str) -> Sequence[float | None]:
    """A measure at the first step, at its maximum, and at the last step that has it."""
    values = [line[name] for line in result.trace if name in line]
    return [values[0], max(values), values[-1]] if values else [None] * 3


def tables(study: Study, results: Results) -> str:
    """Tables of the outcomes of the runs, and of their norms, in Markdown."""
    outcomes = Counter(result.outcome for result in results.values())
    counted = ", ".join(f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES)
    return "\n\n".join([
        f"{len(results)} runs: {counted}.",
        "Final validation accuracy in percent, mean ± standard deviation over the seeds that learned, and the "
        "number of those that did not.",
        _outcomes(study, results),
        "Medians over the runs of a row: a measure at the first step → at its maximum → at the last step.",
        _norms(study, results),
    ])  # fmt: skip


def _outcomes(study: Study, results: Results) -> str:
    *row_axes, last = study.axes
    rows = []
    for levels in product(*(study.axes[axis] for axis in row_axes)):
        of_row = {cell: result for cell, result in results.items() if cell.levels[:-1] == levels}
        sizes = sorted({result.parameters for result in of_row.values()})
        cells = [[r for cell, r in of_row.items() if cell.levels[-1] == level] for level in study.axes[last]]
        rows.append([*levels, " to ".join(f"{size:,}" for size in {*sizes[:1], *sizes[-1:]}), *map(_became, cells)])
    return markdown([*row_axes, "parameters", *(f"{last} {level}" for level in study.axes[last])], rows)


def _became(results: Sequence[Result]) -> str:
    learned = [100 * result.final for result in results if result.outcome == "learned" and result.final is not None]
    others = Counter(result.outcome for result in results if result.outcome != "learned")
    parts = [f"{count} {outcome}" for outcome, count in others.items()]
    if learned:
        parts.insert(0, cell(mean(learned), stdev(learned) if len(learned) > 1 else None))
    return ", ".join(parts)


def _norms(study: Study, results: Results) -> str:
    axes = list(study.axes)[:2]
    shown = ("embedding_norm", "embedding_spread", "common_share", "normalized_norm", "gradient_norm", "input_gradient")
    rows = []
    order = {levels: index for index, levels in enumerate(product(*(study.axes[axis] for axis in axes), OUTCOMES))}

    def group(entry: tuple[Cell, Result]) -> tuple[str, ...]:
        return (*entry[0].levels[: len(axes)], entry[1].outcome)

    for key, entries in groupby(sorted(results.items(), key=lambda entry: order[group(entry)]), group):
        of_group = [result for _, result in entries]
        rows.append([*key, str(len(of_group)), *(_course(of_group, name) for name in shown)])
    return markdown([*axes, "outcome", "runs", *(name.replace("_", " ") for name in shown)], rows)


def _course(results: Sequence[Result], name: str) -> str:
    summaries = [_summary(result, name) for result in results]
    columns = [[value for value in column if value is not None] for column in zip(*summaries, strict=True)]
    return " → ".join(f"{median(column):.3g}" for column in columns if column)

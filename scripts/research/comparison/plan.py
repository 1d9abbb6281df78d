"""Plan the runs of a comparison, and print their results."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from speakerid.base.files import atomic_file
from speakerid.base.parallel import parallel_map
from speakerid.cli.kinds import Kind

from .corpora import CORPORA
from .models import CONTESTANTS, Trained, takes_part
from .runs import DURATIONS, By, Data, Job, run
from .tables import correctness, macro, overview, table


@dataclass(frozen=True)
class Plan:
    """Runs of a comparison.

    Attributes:
        corpora: names in `CORPORA`.
        models: names in `CONTESTANTS`.
        seeds: seeds for every trained model.
        by: budgets, one table each.
        seconds: duration of training; by default that of the corpus.
        steps: number of training steps; by default that of the corpus.
    """

    corpora: Sequence[str]
    models: Sequence[str]
    seeds: Sequence[int]
    by: Sequence[By]
    seconds: float | None = None
    steps: int | None = None

    def budget(self, by: By, corpus: str) -> float:
        if by == "seconds":
            return self.seconds or CORPORA[corpus].seconds
        return self.steps or CORPORA[corpus].steps

    def jobs(self) -> list[Job]:
        """Jobs by corpus and then by seed, so that a slowdown of the machine affects all models alike."""
        jobs: dict[Job, None] = {}
        for corpus in self.corpora:
            for by in self.by:
                jobs |= dict.fromkeys(sorted(self.of_table(corpus, by), key=lambda job: job.seed or 0))
        return list(jobs)

    def of_table(self, corpus: str, by: By) -> Iterator[Job]:
        """Runs in one table; untrained models are in both tables."""
        for model in self.models:
            if not takes_part(model, CORPORA[corpus]):
                continue
            if isinstance(CONTESTANTS[model], Trained):
                budget = self.budget(by, corpus)
                yield from (Job(corpus, model, by, budget, seed) for seed in self.seeds)
            else:
                yield Job(corpus, model)


RESULTS = "results.jsonl"
KIND = Kind("results of a comparison", lambda path: path.read_bytes()[:1000].startswith(b'{"corpus": '))

Records = dict[Job, list[dict[str, Any]]]


def carry_out(jobs: Sequence[Job], out: Path, workers: int | None) -> Records:
    """Run all jobs; OUT/results.jsonl then holds a line for each, including those of earlier calls."""
    records: Records = {}
    truths = {corpus: Data.truth_of(corpus, out) for corpus in {job.corpus for job in jobs}}
    done = parallel_map(partial(run, out=out), jobs, "Compare", "runs", workers)
    for job, of_job in zip(jobs, done, strict=True):
        records[job] = of_job
        for record in of_job:
            print(_line(job, record, truths[job.corpus]), flush=True)
    found = sorted(out.glob("runs/*/*/*/result.json"))
    lines = [json.dumps(record) for path in found for record in json.loads(path.read_text(encoding="utf-8"))]
    with atomic_file(out / RESULTS) as partial_path:
        partial_path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return records


def _line(job: Job, record: dict[str, Any], truth: np.ndarray) -> str:
    """Line that reports a finished run."""
    run = f"{job.corpus}, {record['title']}" + ("" if job.by is None else f", {job.budget:g} {job.by}, seed {job.seed}")
    if "failed" in record:
        return f"{run}: failed: {record['failed']}"
    accuracies = (
        f"{100 * macro(correctness(record['correct'][duration], len(truth))[None], truth)[0]:.1f} % of {duration}"
        for duration in DURATIONS
    )
    return f"{run}: {', '.join(accuracies)}"


def sections(plan: Plan, records: Records, out: Path, absent: Sequence[str]) -> Iterator[str]:
    """Yield a table with a heading for each budget and corpus, and after those of a budget one with all corpora.

    Args:
        plan: runs of the comparison.
        records: their results.
        out: folder of everything.
        absent: models that cannot run here.
    """
    for by in plan.by:
        together: dict[str, tuple[list[dict[str, Any]], np.ndarray]] = {}
        for corpus in plan.corpora:
            data = Data.open(CORPORA[corpus], out)
            sizes = f"{len(data.training):,} training, {len(data.validation):,} validation, {len(data.test):,} test"
            yield (
                f"### {corpus}, {plan.budget(by, corpus):g} {by} a run\n\n"
                f"{len(data.corpus.speakers)} speakers; {sizes} utterances\n"
            )
            left_out = [name for name in plan.models if not takes_part(name, CORPORA[corpus])]
            titles = [CONTESTANTS[name].title for name in [*left_out, *absent]]
            rows = [record for job in plan.of_table(corpus, by) for record in records[job]]
            together[corpus] = rows, data.truth
            yield table(rows, data.truth, list(DURATIONS), titles) + "\n"
        yield f"### Whole utterances, the same {by} for every model\n\n{overview(together, 'whole')}\n"

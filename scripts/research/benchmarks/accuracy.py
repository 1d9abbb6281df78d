"""Measure the processor time that `few_minutes` needs to reach an accuracy, beside an earlier revision.

Every run has a whole schedule, so an accuracy after fewer steps is that of a shorter training, and not of an
interrupted one.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from math import exp, log
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from comparison.corpora import CORPORA, build, root_of
from comparison.finished import run_once
from comparison.models import CONFIGS, MEANS_KEPT, ONE_TRAINING, check_names, run_overrides
from comparison.runs import Data
from comparison.tables import macro
from result_tables import DASH, cell, markdown
from speakerid import UserError, load_config
from speakerid.base.printing import counted
from speakerid.cli.destination import check_folder

from .recipe import Job
from .revisions import environment, write_current, write_format_1, write_revision

CONFIG = "few_minutes"
RUNS = "accuracy"
"""Folder of the runs in OUT."""
NOT_REACHED = "not reached"
EARLIER = "before the first row"
"""Said if every row is at least as accurate as the target."""


@dataclass(frozen=True)
class Goal:
    """Defaults of a corpus.

    Attributes:
        steps: full number of steps.
        target: accuracy to reach, in percent.
        settings: overrides for both builds.
    """

    steps: int
    target: float
    settings: tuple[str, ...] = ()


GOALS = {
    "voices-all-equalized": Goal(800, 97.0),
    "speeds": Goal(1_500, 72.0, (MEANS_KEPT,)),
    "demo-600": Goal(2_500, 89.0),
}


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    recordings: Path
    out: Path
    against: str
    corpora: Sequence[str] | None
    shares: Sequence[float]
    """Shares of the full number of steps."""
    seeds: Sequence[int]
    steps: int | None
    """Full number of steps; by default that of the corpus."""
    target: float | None
    """Accuracy in percent; by default that of the corpus."""
    settings: Sequence[str]
    """Overrides for our side."""


@dataclass(frozen=True)
class Build:
    """One side of the benchmark.

    Attributes:
        source: folder with its sources.
        roots: folder of each corpus.
        settings: overrides of its own.
    """

    source: Path
    roots: Mapping[str, Path]
    settings: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Digest of the sources, the config and the settings, which names the runs."""
        files = [*sorted((self.source / "src").rglob("*.py")), self.source / "configs" / f"{CONFIG}.yaml"]
        parts = [part for path in files for part in (str(path.relative_to(self.source)).encode(), path.read_bytes())]
        return hashlib.sha256(repr((parts, list(self.settings))).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Curve:
    """Seconds and accuracies in percent of the runs of a build on a corpus: a row per number of steps, of all seeds."""

    seconds: list[list[float]]
    accuracies: list[list[float]]

    def mean(self) -> tuple[list[float], list[float]]:
        """Median seconds and mean accuracy of every row."""
        return [median(row) for row in self.seconds], [mean(row) for row in self.accuracies]

    def of_seed(self, index: int) -> tuple[list[float], list[float]]:
        return [row[index] for row in self.seconds], [row[index] for row in self.accuracies]


def benchmark(options: Options) -> str:
    """Train the missing runs; returns tables in Markdown.

    Raises:
        UserError: bad options, or a training failed.
    """
    check_names("--corpora", options.corpora, GOALS)
    names = options.corpora or list(GOALS)
    check_folder(options.out, [options.recordings], "OUT")
    load_config(CONFIGS / f"{CONFIG}.yaml", options.settings)  # so that a typing error costs no time
    with TemporaryDirectory(prefix="benchmark-") as folder:
        earlier, ours, copies = (Path(folder, name) for name in ("earlier", "ours", "corpora"))
        write_revision(options.against, earlier)
        write_current(ours)
        with redirect_stdout(sys.stderr):
            build([CORPORA[name] for name in names], options.recordings, options.out)
        roots = {name: root_of(CORPORA[name], options.out) for name in names}
        former = {name: write_format_1(root, copies / name) for name, root in roots.items()}
        builds = {"earlier": Build(earlier, former), "ours": Build(ours, roots, options.settings)}
        return "\n\n".join(_section(name, builds, options) for name in names)


def _section(corpus: str, builds: Mapping[str, Build], options: Options) -> str:
    """Run what is missing on a corpus; its tables."""
    goal = GOALS[corpus]
    full = options.steps or goal.steps
    steps = sorted({max(2, round(share * full)) for share in options.shares})
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    keys = {name: f"{name}-{build.key}" for name, build in builds.items()}
    for turn, (seed, count) in enumerate(product(options.seeds, steps)):
        for name in list(builds)[:: -1 if turn % 2 else 1]:
            folder = options.out / RUNS / corpus / keys[name] / f"{count}-{seed}"
            found[name, count, seed] = record = _run(folder, corpus, builds[name], count, seed, keys, options.out)
            figures = f"{record['seconds']:.1f} s, {record['accuracy']:.2f} %"
            print(f"{corpus}, seed {seed}, {count} steps, {name}: {figures}", file=sys.stderr)
    curves = {
        name: Curve(
            [[found[name, count, seed]["seconds"] for seed in options.seeds] for count in steps],
            [[found[name, count, seed]["accuracy"] for seed in options.seeds] for count in steps],
        )
        for name in builds
    }
    in_turn = sum(
        all(found[name, count, seed]["builds"] == list(keys.values()) for name in builds)
        for seed, count in product(options.seeds, steps)
    )
    pairs = f"Pairs of runs in turn: {in_turn} of {len(options.seeds) * len(steps)}."
    times = times_table(curves, options.target or goal.target, options.seeds)
    return f"### {corpus}\n\n{_heading(options)} {pairs}\n\n{runs_table(curves, steps)}\n\n{times}"


def _run(
    folder: Path, corpus: str, build: Build, steps: int, seed: int, keys: Mapping[str, str], out: Path
) -> dict[str, Any]:
    """Train once in a new process, or read what was kept of an earlier call."""

    def records() -> list[dict[str, Any]]:
        with TemporaryDirectory(prefix="run-", dir=folder) as run_dir:
            overrides = run_overrides(build.roots[corpus], Path(run_dir, "run"), seed, steps)
            settings = [*GOALS[corpus].settings, *build.settings]
            job = Job(CONFIG, str(build.roots[corpus]), steps, overrides, list(ONE_TRAINING), settings)
            answer = _train(job, build.source)
        right = np.array(answer["predicted"]) == (truth := Data.truth_of(corpus, out))
        accuracy = 100 * float(macro(right[None], truth)[0])
        return [{"seconds": answer["seconds"], "accuracy": accuracy, "builds": list(keys.values()), **asdict(job)}]

    return run_once(folder, records)[0]


def _train(job: Job, source: Path) -> dict[str, Any]:
    """Answer of a process that trains.

    Raises:
        UserError: the training failed.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.recipe", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(source, threads=1))
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UserError(f"training of {source.name} build with {job.steps} steps: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def _heading(options: Options) -> str:
    settings = f" with {' '.join(options.settings)}" if options.settings else ""
    seeds = counted(len(options.seeds), "seed")
    return f"`{CONFIG}` of the working tree{settings} beside {options.against}; {seeds}, one thread."


def runs_table(curves: Mapping[str, Curve], steps: Sequence[int]) -> str:
    """Table of all runs; seconds are medians over seeds, accuracies mean ± standard deviation."""
    rows = [
        [
            name,
            f"{count:,}",
            f"{median(seconds):.1f}",
            f"{1000 * median(seconds) / count:.1f}",
            cell(mean(accuracies), stdev(accuracies) if len(accuracies) > 1 else None),
        ]
        for name, curve in curves.items()
        for count, seconds, accuracies in zip(steps, curve.seconds, curve.accuracies, strict=True)
    ]
    return markdown(["build", "steps", "seconds", "ms per step", "accuracy, %"], rows)


def times_table(curves: Mapping[str, Curve], target: float, seeds: Sequence[int]) -> str:
    """Table of the times to the target, of the mean curve and per seed, and of their ratio.

    Args:
        curves: of the builds `earlier` and `ours`.
        target: accuracy in percent.
        seeds: seeds of the curves.
    """
    times = {
        name: [time_to(target, *points) for points in (curve.mean(), *map(curve.of_seed, range(len(seeds))))]
        for name, curve in curves.items()
    }
    rows = [[name, *(f"{one:.1f}" if isinstance(one, float) else one for one in row)] for name, row in times.items()]
    whole, *ratios = [
        a / b if isinstance(a, float) and isinstance(b, float) else None
        for a, b in zip(times["ours"], times["earlier"], strict=True)
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    total = DASH if whole is None else f"{whole:.2f}"
    if whole is not None and known:
        missing = f", of {len(known)} of {len(seeds)} seeds" if len(known) < len(seeds) else ""
        total += f" ({min(known):.2f} to {max(known):.2f}{missing})"
    rows.append(["ours / earlier", total, *(DASH if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return markdown([f"seconds to {target:g} %", "mean of seeds", *(f"seed {seed}" for seed in seeds)], rows)


def time_to(target: float, seconds: Sequence[float], accuracies: Sequence[float]) -> float | str:
    """Time from which a curve is at or above a target, between its points linear in the logarithm of the time.

    Nothing is extrapolated: returns `NOT_REACHED` if the last point is below, and `EARLIER` if none is.
    """
    points = list(zip(seconds, accuracies, strict=True))
    if accuracies[-1] < target:
        return NOT_REACHED
    for (before, low), (after, high) in reversed(list(pairwise(points))):
        if low < target:
            share = (target - low) / (high - low)
            return exp(log(before) + share * (log(after) - log(before)))
    return EARLIER

"""Measure the speed of training and inference, compared with a plain loop, the machine's limit and a revision."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from result_tables import markdown
from speakerid import FeatureConfig, UserError
from speakerid.base.printing import counted
from speakerid.config import DataConfig
from speakerid.corpus import feature_file
from speakerid.corpus.store_writing import write_store
from speakerid.corpus.utterances import PACKED, Corpus, Utterances

from .contestant import Precision, Task, Variant, ask
from .measuring import ratio
from .revisions import ROOT, environment, write_format_1, write_revision

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SPEAKERS = 600
SHORTEST, LONGEST = 90, 1500
"""Number of frames of the shortest and the longest utterance."""
TASKS: dict[Task, str] = {"task1_transformer": "Task 1", "task2_conformer": "Task 2"}
"""Configs with a plain implementation."""
TITLES: dict[Task, str] = {**TASKS, "few_minutes": "`few_minutes`"}
FEW_MINUTES_SIZES = 32, 64
"""Batch size and crop frames of `few_minutes`."""
MORE_STEPS = 8
"""Times as many steps of `few_minutes` per round, which are that much shorter."""


@dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    rounds: int
    steps: int
    """Number of steps of every variant in a round."""
    utterances: int
    batch_size: int = 32
    crop_frames: int = 128
    threads: int | None = None
    """Number of threads of every process; by default torch's choice."""
    profile: bool = False
    against: str | None = None
    """Git revision to compare with."""


class Side:
    """Process of a contestant, sent one request at a time, while the others wait."""

    def __init__(self, name: str, folder: Path, source: Path, threads: int | None) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.contestant", name, str(folder)]
        variables = environment(source, threads)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )

    def __call__(self, what: str, variant: Variant, **more: int) -> dict[str, float]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(ask(what, variant, **more) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise UserError(f"the process that measured {what} of {variant} ended; see its error above")
        return json.loads(answer)


@dataclass
class Measured:
    """Measurements of one variant, one per round."""

    ours: list[float]
    """Steps per second."""
    plain: list[float]
    earlier: list[float]
    waited: list[float]
    """Share of our time spent waiting for data."""
    ceiling: list[float]
    """FLOP/s of a large matrix product."""


def benchmark(options: Options) -> str:
    """Run the benchmark; returns tables in Markdown.

    Raises:
        UserError: the revision is unknown, or a contestant failed.
    """
    variants = [
        Variant(task, precision, dropout, options.batch_size, options.crop_frames, device)
        for device in ["cpu", *["cuda"] * torch.cuda.is_available()]
        for task, dropout, precision in product(TASKS, (0.1, 0.0), PRECISIONS)
    ]
    if options.against:
        sizes = FEW_MINUTES_SIZES
        variants += [
            Variant("few_minutes", precision, 0.0, *sizes, device)
            for device, precision in product(dict.fromkeys(variant.device for variant in variants), PRECISIONS)
        ]
    with _sides(options) as sides:
        measured = {variant: Measured([], [], [], [], []) for variant in variants}
        inference: dict[Variant, Measured] = {}
        for variant in variants:
            if variant.precision == "float32" and not variant.dropout:
                inference[variant] = Measured([], [], [], [], [])
            for side in _able(sides, variant).values():
                side("steps", variant, count=1)  # builds the model and warms it up
        for variant in inference:
            _predict(Measured([], [], [], [], []), sides, variant, options.utterances)
        for turn in range(options.rounds):
            for variant in variants[:: -1 if turn % 2 else 1]:
                _measure(measured[variant], sides, variant, options.steps, backwards=turn % 2 == 1)
            for variant, of_variant in inference.items():
                _predict(of_variant, sides, variant, options.utterances)
            print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
        beside = {variant: of_variant for variant, of_variant in measured.items() if variant.task in TASKS}
        parts = [
            _heading(options),
            _speeds(beside, {variant: sides["ours"]("flops", variant)["flops"] for variant in beside}),
            _inference({variant: of_variant for variant, of_variant in inference.items() if variant.task in TASKS}),
        ]
        if options.against:
            parts.insert(2, _against(measured, inference, options.against))
        if options.profile:
            parts += [_profile(variant, sides["ours"]("profile", variant)) for variant in variants]
    return "\n\n".join(parts)


def _able(sides: Mapping[str, Side], variant: Variant) -> dict[str, Side]:
    """Sides that can train a variant."""
    return {name: side for name, side in sides.items() if name != "plain" or variant.task in TASKS}


def _measure(measured: Measured, sides: Mapping[str, Side], variant: Variant, steps: int, backwards: bool) -> None:
    sides = _able(sides, variant)
    if variant.task not in TASKS:
        steps *= MORE_STEPS
    measured.ceiling.append(sides["ours"]("ceiling", variant)["flops_a_second"])
    for name in list(sides)[:: -1 if backwards else 1]:
        answer = sides[name]("steps", variant, count=steps)
        getattr(measured, name).append(steps / answer["seconds"])
        if name == "ours":
            measured.waited.append(answer["waited"] / answer["seconds"])


def _predict(measured: Measured, sides: Mapping[str, Side], variant: Variant, utterances: int) -> None:
    for name, side in _able(sides, variant).items():
        seconds = side("predict", variant, frames_per_batch=DataConfig().frames_per_batch)["seconds"]
        getattr(measured, name).append(utterances / seconds)


@contextmanager
def _sides(options: Options) -> Iterator[dict[str, Side]]:
    """Start the contestants' processes, with a corpus in a temporary folder."""
    with TemporaryDirectory(prefix="benchmark-") as folder, ExitStack() as ends:
        corpus, earlier = Path(folder, "corpus"), Path(folder, "earlier")
        if options.against:
            write_revision(options.against, earlier)
        write_corpus(corpus, options.utterances)
        sources = {"ours": (ROOT, corpus), "plain": (ROOT, corpus)}
        if options.against:
            sources["earlier"] = earlier, write_format_1(corpus, Path(folder, "corpus in format 1"))
        sides: dict[str, Side] = {}
        for name, (source, root) in sources.items():
            sides[name] = Side("plain" if name == "plain" else "ours", root, source, options.threads)
            ends.callback(sides[name].process.wait)
            ends.callback(sides[name].process.terminate)
        yield sides


def write_corpus(root: Path, utterances: int) -> None:
    """Write noise of lengths from `SHORTEST` to `LONGEST` frames, packed and as one file per utterance."""
    root.mkdir()
    rng = np.random.default_rng(0)
    features = FeatureConfig()
    lengths = np.linspace(SHORTEST, LONGEST, utterances).astype(np.int64)
    frames = [rng.normal(-8, 4, (length, features.n_mels)).astype(np.float32) for length in lengths]
    names = [f"uttr-{row:032x}.pt" for row in range(utterances)]
    for name, values in zip(names, frames, strict=True):
        feature_file.save(root / name, torch.from_numpy(values))
    speakers = tuple(f"id{speaker:05}" for speaker in range(SPEAKERS))
    rows = np.arange(utterances)
    labelled = Utterances(names, lengths, rows % SPEAKERS, rows, rows, speakers, tuple(map(str, rows)))
    write_store(root / PACKED, "labelled", Corpus(root, features, speakers, labelled), frames, "float16")


def _heading(options: Options) -> str:
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = counted(options.threads or torch.get_num_threads(), "thread")
    return (
        f"Batches of {options.batch_size} × {options.crop_frames} frames; {options.rounds} rounds of {options.steps} "
        f"steps; medians, with the lowest and the highest ratio. {threads}, {platform.machine()}{gpu}, torch "
        f"{torch.__version__}."
    )


def _title(variant: Variant) -> str:
    return f"{TITLES[variant.task]}, {variant.precision}, dropout {variant.dropout:g}, {variant.device}"


def _speeds(measured: Mapping[Variant, Measured], flops: Mapping[Variant, float]) -> str:
    """Table of steps per second, ours and the plain loop's in the same and in full precision."""
    rows = []
    for variant, of_variant in measured.items():
        full = measured[replace(variant, precision="float32")].plain
        shares = [
            rate * flops[variant] / limit for rate, limit in zip(of_variant.ours, of_variant.ceiling, strict=True)
        ]
        speeds = [f"{median(of_variant.ours):.2f}", f"{median(of_variant.plain):.2f}"]
        ratios = [ratio(of_variant.ours, of_variant.plain), ratio(of_variant.ours, full)]
        rows.append([_title(variant), *speeds, *ratios, f"{median(of_variant.waited):.1%}", f"{median(shares):.0%}"])
    header = ["training", "ours, steps/s", "plain, steps/s", "ours / plain", "ours / plain in float32"]
    return markdown([*header, "waiting for data", "of a large matrix product's speed"], rows)


def _inference(measured: Mapping[Variant, Measured]) -> str:
    rows = [
        [
            f"{TITLES[variant.task]}, {variant.precision}, {variant.device}",
            f"{median(of_variant.ours):.1f}",
            f"{median(of_variant.plain):.1f}",
            ratio(of_variant.ours, of_variant.plain),
        ]
        for variant, of_variant in measured.items()
    ]
    title = f"whole utterances of {SHORTEST} to {LONGEST} frames"
    return markdown([title, "ours, uttr/s", "plain, one by one, uttr/s", "ours / plain"], rows)


def _against(training: Mapping[Variant, Measured], inference: Mapping[Variant, Measured], revision: str) -> str:
    rows = [
        [what, _title(variant), ratio(each.ours, each.earlier)]
        for what, measured in (("training", training), ("whole utterances", inference))
        for variant, each in measured.items()
    ]
    return markdown(["", f"speed / speed of {revision}", "median (lowest to highest)"], rows)


def _profile(variant: Variant, times: Mapping[str, float]) -> str:
    rows = [[name, f"{milliseconds:.2f}"] for name, milliseconds in times.items()]
    return markdown([f"slowest operations: {_title(variant)}", "ms per step, without callees"], rows)

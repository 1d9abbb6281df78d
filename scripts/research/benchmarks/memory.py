"""Measure the memory of a training process over many steps, for a small corpus and one ten times as large."""

import json
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from result_tables import markdown
from speakerid import Config, FeatureConfig, train
from speakerid.config import parse
from speakerid.corpus import hw4
from speakerid.corpus.store_writing import write_store
from speakerid.corpus.utterances import PACKED, Corpus, Utterances

from .measuring import SPAWN

SIZES = (5_666, 56_666)
SPEAKERS = 600
MEDIAN_FRAMES, SHORTEST, LONGEST = 500, 91, 7_193
LOOKS = 5


@dataclass(frozen=True)
class Look:
    """Resident memory of the process in MiB after some steps."""

    step: int
    own: int
    """Anonymous memory."""
    mapped: int
    """Memory-mapped files: libraries, and the pages of the store that were read since they were last released."""


def benchmark(steps: int) -> str:
    """Table of both corpora at five moments each."""
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "corpus")
            gigabytes = write_random_corpus(root, size) / 1e9
            for look in _watched(root, Path(folder, "run"), steps):
                rows.append([f"{size:,} ({gigabytes:.2f} GB)", f"{look.step:,}", f"{look.own}", f"{look.mapped}"])
    return markdown(["utterances", "step", "own memory, MiB", "mapped files, MiB"], rows)


def write_random_corpus(root: Path, size: int) -> int:
    """Write a packed corpus with HW4's lengths and noise as frames; returns its size in bytes."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(MEDIAN_FRAMES), 0.45, size).astype(np.int64), SHORTEST, LONGEST)
    rows = np.arange(size, dtype=np.int32)
    names = tuple(f"id{speaker:05}" for speaker in range(SPEAKERS))
    speakers = (rows.astype(np.int64) * SPEAKERS // size).astype(np.int32)
    sessions = tuple(f"session {number}" for number in range(size // 8 + 1))
    utterances = Utterances(
        [f"uttr-{row:032x}.pt" for row in rows], lengths, speakers, rows // 8, rows, names, sessions
    )
    corpus = Corpus(root, FeatureConfig(), names, utterances)
    spectra = rng.normal(-8, 1, (SPEAKERS, corpus.features.n_mels)).astype(np.float32)
    noise = rng.normal(size=(LONGEST, corpus.features.n_mels)).astype(np.float32)
    root.mkdir(parents=True)
    hw4.write_features_yaml(root, corpus.features)
    frames = (noise[:length] + spectra[speaker] for length, speaker in zip(lengths, speakers, strict=True))
    store = write_store(root / PACKED, "labelled", corpus, frames, "float16")
    return store.frame_bytes * store.head.frames


def _watched(root: Path, run_dir: Path, steps: int) -> list[Look]:
    process = SPAWN.Process(target=partial(_train, _config(root, run_dir, steps)))
    process.start()
    looks: list[Look] = []
    wanted = [steps * part // LOOKS for part in range(1, LOOKS + 1)]
    while len(looks) < len(wanted) and process.is_alive():
        step = _last_step(run_dir / "metrics.jsonl")
        if step >= wanted[len(looks)]:
            looks.append(Look(step, *_memory(process.pid)))
        time.sleep(0.05)
    process.terminate()
    process.join()
    return looks


def _train(config: Config) -> None:
    torch.set_num_threads(1)  # more threads do not speed up such small steps
    with open("/dev/null", "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        train(config)


def _config(root: Path, run_dir: Path, steps: int) -> Config:
    """Settings with the smallest model, since the data and the loop are measured, and without validation in between."""
    settings = {
        "run_dir": run_dir,
        "device": "cpu",
        "data": {"root": root, "split": "random", "valid_fraction": 0.001},
        "model": {"d_model": 8, "encoder": {"kind": "transformer", "num_layers": 1, "dim_feedforward": 8}},
        "train": {"total_steps": steps, "valid_steps": steps // 2, "log_steps": 100, "warmup_steps": 10},
    }
    return parse(Config, settings, "benchmark")


def _last_step(metrics: Path) -> int:
    if not metrics.exists():
        return 0
    lines = metrics.read_text().split("\n")[:-1]
    return json.loads(lines[-1])["step"] if lines else 0


def _memory(pid: int | None) -> tuple[int, int]:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    own, mapped = (int(fields[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped

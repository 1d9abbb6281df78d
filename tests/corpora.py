"""Fixtures for many tests: small corpora in HW4 layout, recordings, and a full or read-only disk.

The corpora are written here and not by the package, so that its readers are tested against the format.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

SPEAKERS = ("id03074", "id00464", "id10270")


def write_corpus(
    root: Path,
    speakers: Sequence[str] = SPEAKERS,
    utterances: int = 3,
    test: int = 0,
    n_mels: int = 4,
    frames: tuple[int, int] = (5, 12),
    sessions: int = 0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Write a corpus whose speakers differ in their mean, so that a model can learn it.

    Args:
        root: the folder, created if necessary.
        speakers: names in the order of metadata.json; mapping.json is alphabetical.
        utterances: number of utterances of each speaker.
        test: number of utterances in testdata.json, speakers in turn; if 0, the file is not written.
        n_mels: number of mel bands.
        frames: shortest and longest length of an utterance.
        sessions: number of consecutive sessions of each speaker; 0 leaves them unknown.
        seed: seed of everything.

    Returns:
        Features by path: the labeled ones in the order of metadata.json, then those of testdata.json.
    """
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    means = {speaker: 3 * rng.standard_normal(n_mels) for speaker in speakers}
    features: dict[str, Tensor] = {}

    def entry(speaker: str) -> dict[str, object]:
        length = int(rng.integers(frames[0], frames[1] + 1))
        path = f"uttr-{rng.bytes(16).hex()}.pt"
        values = torch.tensor(means[speaker] + rng.standard_normal((length, n_mels)))
        features[path] = values.half().float()  # so that a store of float16 holds them unchanged
        torch.save(features[path], root / path)
        return {"feature_path": path, "mel_len": length}

    labelled = {speaker: [entry(speaker) for _ in range(utterances)] for speaker in speakers}
    for entries in labelled.values() if sessions else ():
        for index, labelled_entry in enumerate(entries):
            labelled_entry["session"] = f"session {index * sessions // utterances}"
    names = sorted(speakers)
    write_json(root / "metadata.json", {"n_mels": n_mels, "speakers": labelled})
    write_json(
        root / "mapping.json",
        {
            "speaker2id": {name: index for index, name in enumerate(names)},
            "id2speaker": {str(index): name for index, name in enumerate(names)},
        },
    )
    if test:
        entries = [entry(speakers[index % len(speakers)]) for index in range(test)]
        write_json(root / "testdata.json", {"n_mels": n_mels, "utterances": entries})
    return features


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """Yield the content of a JSON file, which is written back after the block."""
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    write_json(path, content)


def write_recording(
    path: Path, seconds: float = 0.3, sample_rate: int = 16_000, channels: int = 1, subtype: str | None = None
) -> None:
    """Write noise without pauses, different for every path; the suffix of the name is the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.as_posix().encode(errors="surrogateescape")))
    samples = 0.1 * rng.standard_normal((round(seconds * sample_rate), channels))
    with path.open("wb") as file:
        soundfile.write(file, samples, sample_rate, subtype, format=path.suffix[1:].upper())


@contextmanager
def disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """Mount a file system at `folder`; the test is skipped if mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        # Lazily, since a memory-mapped file keeps its file system busy.
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    _mount("-o", "remount,ro", str(disk))


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a file system")

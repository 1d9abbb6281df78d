"""Measure how long a corpus takes to open: one of VoxCeleb2's size packed, and one of HW4's size in HW4 files."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from speakerid import FeatureConfig, open_corpus
from speakerid.corpus import feature_file
from speakerid.corpus.store_writing import write_store
from speakerid.corpus.utterances import PACKED, Corpus, Utterances

from .measuring import middle

PACKED_UTTERANCES, PACKED_SPEAKERS = 1_100_000, 6_000
HW4_UTTERANCES, HW4_SPEAKERS = 56_666, 600


def benchmark(rounds: int) -> str:
    """Seconds of `open_corpus`, after imports and with the files in the system's cache."""
    with tempfile.TemporaryDirectory() as folder:
        packed, hw4 = Path(folder, "packed"), Path(folder, "hw4")
        _write_packed(packed)
        _write_hw4(hw4)
        open_corpus(hw4)  # packs the features
        lines = []
        for title, root in ((f"packed, {PACKED_UTTERANCES:,}", packed), (f"HW4, {HW4_UTTERANCES:,}", hw4)):
            lines.append(f"{title} utterances: median {middle([_opening(root) for _ in range(rounds)], 's')}")
        return "\n".join(lines)


def _opening(root: Path) -> float:
    began = time.perf_counter()
    corpus, store = open_corpus(root)
    assert len(corpus.labelled) == len(store)
    return time.perf_counter() - began


def _write_packed(root: Path) -> None:
    rows = np.arange(PACKED_UTTERANCES, dtype=np.int32)
    speakers = rows * PACKED_SPEAKERS // PACKED_UTTERANCES
    utterances = Utterances(
        [f"uttr-{row:032x}.pt" for row in rows],
        np.ones(len(rows), np.int64),
        speakers,
        rows // 8,
        rows,
        tuple(f"id{speaker:05}" for speaker in range(PACKED_SPEAKERS)),
        tuple(f"video {session}" for session in range(len(rows) // 8 + 1)),
    )
    corpus = Corpus(root, FeatureConfig(n_mels=1), utterances.speaker_names, utterances)
    write_store(root / PACKED, "labelled", corpus, [np.zeros((len(rows), 1), np.float32)], "float16")


def _write_hw4(root: Path) -> None:
    root.mkdir()
    speakers = [f"id{speaker:05}" for speaker in range(HW4_SPEAKERS)]
    metadata: dict[str, list[dict[str, object]]] = {speaker: [] for speaker in speakers}
    for row in range(HW4_UTTERANCES):
        name = f"uttr-{row:032x}.pt"
        feature_file.save(root / name, torch.zeros(1, 1))
        metadata[speakers[row % HW4_SPEAKERS]].append({"feature_path": name, "mel_len": 1})
    (root / "metadata.json").write_text(json.dumps({"n_mels": 1, "speakers": metadata}))
    ids = {speaker: number for number, speaker in enumerate(speakers)}
    mapping = {"speaker2id": ids, "id2speaker": {str(number): speaker for speaker, number in ids.items()}}
    (root / "mapping.json").write_text(json.dumps(mapping))

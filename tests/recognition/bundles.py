"""Six synthetic voices known to a barely trained model, two strangers, and recordings of all of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speakerid.cli import run
from speakerid.demo.corpus import write_demo_corpus
from speakerid.preparation.prepare import Options, prepare
from speakerid.recognition.bundle import Bundle, locked
from speakerid.recognition.make_bundle import make_bundle

KNOWN, STRANGERS = 6, 2


@dataclass(frozen=True)
class Trained:
    """What a user has after training.

    Attributes:
        recordings: folder with a folder per speaker and session.
        checkpoint: checkpoint trained on the known speakers.
        bundle: bundle of the checkpoint, in memory.
        path: its file; tests that change it use a copy.
    """

    recordings: Path
    corpus: Path
    checkpoint: Path
    bundle: Bundle
    path: Path

    def clips(self, speaker: str) -> list[Path]:
        """All recordings of a speaker, by session."""
        return sorted((self.recordings / speaker).rglob("*.wav"))

    @property
    def stranger(self) -> str:
        """Recordings of a speaker the model was not trained on."""
        names = {path.name for path in self.recordings.iterdir()} - set(self.bundle.profiles.names)
        return min(names)


def train_and_export(folder: Path) -> Trained:
    """Train for a few steps and export, with fixed seeds."""
    recordings, corpus, runs = folder / "recordings", folder / "corpus", folder / "runs"
    write_demo_corpus(folder / "demo", KNOWN + STRANGERS, 1, workers=0, wav=recordings)
    prepare(recordings, corpus, Options(layout_out="packed", strangers=STRANGERS, workers=0))
    config = Path(__file__).parents[2] / "configs" / "few_minutes.yaml"
    run([
        "train", "--config", str(config), "--quiet", f"data.root={corpus}", f"run_dir={runs}", "device=cpu",
        "data.folds=0", "data.valid_fraction=0.3", "model.d_model=16", "model.encoder.dim_feedforward=32",
        "train.total_steps=60", "train.warmup_steps=5", "train.valid_steps=60", "train.save_steps=60",
        "train.log_steps=60",
    ])  # fmt: skip
    bundle = make_bundle(runs / "best.pt")
    path = folder / "speaker.safetensors"
    bundle.save(path)
    return Trained(recordings, corpus, runs / "best.pt", bundle, path)


def prints(bundle: Bundle, count: int = 3, seed: int = 0) -> np.ndarray:
    """Random voice prints."""
    found = np.random.default_rng(seed).normal(size=(count, bundle.profiles.centers.shape[-1]))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def enroll_somebody(path: Path, name: str) -> None:
    """Enroll a speaker in a bundle's file."""
    with locked(path):
        bundle = Bundle.load(path)
        bundle.enrolled(name, prints(bundle)).save(path)


def enroll_for_ever(path: Path) -> None:
    """Enroll speakers until killed."""
    for number in range(10_000):
        enroll_somebody(path, f"guest{number}")


def with_other_encoder(bundle: Bundle) -> Bundle:
    """Bundle of another training: the same speakers, other weights."""
    weights = dict(bundle.weights)
    weights["model.prenet.weight"] = weights["model.prenet.weight"][::-1]
    return Bundle.fitted(bundle.model, bundle.features, weights, bundle.profiles, bundle.evidence, bundle.card)

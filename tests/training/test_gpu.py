"""Runs on a GPU: resident batches, a captured step, bfloat16; skipped without a GPU."""

from pathlib import Path

import pytest
import torch

from experiments import metrics, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.corpus.check import open_corpus
from speakerid.training.batches import TrainingBatches
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("gpu") / "corpus")


def on_gpu(corpus: Path, run_dir: Path, **train: object) -> Config:
    return small_config(corpus, run_dir, **train).model_copy(update={"device": "cuda", "deterministic": True})


def losses(path: Path) -> list[float]:
    return [record["loss"] for record in metrics(path)]


def test_batches_are_those_of_the_cpu(corpus: Path) -> None:
    _, store = open_corpus(corpus)
    here, there = (
        TrainingBatches(store, range(len(store)), range(len(store)), 6, 16, seed=1, device=device)
        for device in ("cpu", "cuda")
    )
    assert there.resident
    for step in (0, 3, 17):
        for a, b in zip(here[step], there[step], strict=True):
            assert b.device.type == "cuda"
            assert torch.equal(a, b.cpu())


def test_a_captured_run_learns_what_the_cpu_learns(corpus: Path, tmp_path: Path) -> None:
    """Without dropout, whose random numbers differ between devices."""

    def config(device: str) -> Config:
        config = small_config(corpus, tmp_path / device)
        encoder = config.model.encoder.model_copy(update={"dropout": 0.0})
        return config.model_copy(
            update={"device": device, "model": config.model.model_copy(update={"encoder": encoder})}
        )

    runs = [train(config(device)).run for device in ("cpu", "cuda")]
    assert losses(runs[1].metrics) == pytest.approx(losses(runs[0].metrics), abs=1e-3)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_resuming_on_a_gpu_is_bit_exact(precision: str, corpus: Path, tmp_path: Path) -> None:
    whole = train(on_gpu(corpus, tmp_path / "whole", total_steps=40, precision=precision)).run
    path = tmp_path / "parts"
    train(on_gpu(corpus, path, total_steps=40, precision=precision))
    for file in sorted((path / "checkpoints").glob("*.pt"))[1:]:  # as if it had been killed before it wrote these
        file.unlink()
    (path / "last.pt").unlink()
    again = train(on_gpu(corpus, path, total_steps=40, precision=precision), resume=True).run
    a, b = (Checkpoint.load(run.last) for run in (again, whole))
    assert metrics(again.metrics) == metrics(whole.metrics)
    assert all(torch.equal(a.model[name], weight) for name, weight in b.model.items())


def test_too_large_a_batch_is_one_line(corpus: Path, tmp_path: Path) -> None:
    huge = on_gpu(corpus, tmp_path / "run", batch_size=1_000_000, crop_frames=400)
    with pytest.raises(UserError, match=r"memory ran out.*train\.batch_size=1000000"):
        train(huge)

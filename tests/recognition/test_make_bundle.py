"""A bundle needs a model that distinguishes speakers, and names that are not reserved."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.recognition import make_bundle as exporting
from speakerid.recognition.embedder import check_embeddings
from speakerid.recognition.make_bundle import make_bundle
from speakerid.training.checkpoint import Checkpoint


def changed(trained: Trained, path: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    """Copy of the checkpoint with other weights."""
    checkpoint = Checkpoint.load(trained.checkpoint)
    weights = {
        name: change(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.inference_weights.items()
    }
    replace(checkpoint, model=weights, average=None).save(path)
    return path


def test_a_model_of_one_embedding_for_everything_is_refused_in_one_line(trained: Trained, tmp_path: Path) -> None:
    dead = changed(trained, tmp_path / "dead.pt", torch.zeros_like)
    with pytest.raises(UserError, match=r"dead\.pt: its embedding is the same for every utterance"):
        make_bundle(dead)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e30])
def test_embeddings_that_differ_by_rounding_are_the_same(value: float) -> None:
    rng = np.random.default_rng(0)
    embeddings = (value * (1 + 1e-7 * rng.normal(size=(9, 4)))).astype(np.float32)
    with pytest.raises(UserError, match="the same for every utterance"):
        check_embeddings(embeddings)
    spread = max(1e-3, abs(value) / 100) * rng.normal(size=(9, 4))
    check_embeddings((embeddings + spread).astype(np.float32))


def test_embeddings_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="not finite numbers"):
        check_embeddings(np.full((3, 4), np.nan, np.float32))


def test_a_speaker_of_a_reserved_name_is_refused(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise UserError(f"name: found {name!r}, which is reserved")

    monkeypatch.setattr(exporting, "check_name", refuse)
    with pytest.raises(UserError, match="corpus: speaker name: found 'demo0000'"):
        make_bundle(trained.checkpoint)

from pathlib import Path

import pytest
import torch
from torch import Tensor

from experiments import small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.base.progress import Progress
from speakerid.training import find_batch_size as module
from speakerid.training.batches import Batches
from speakerid.training.find_batch_size import Trial, find_batch_size, recommended
from speakerid.training.step import TrainingStep


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_easy_corpus(tmp_path / "corpus")


def test_it_stops_when_larger_batches_are_not_faster(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    speeds = iter([100.0, 190.0, 199.0])
    measure = module._try

    def measured(learn: TrainingStep, batches: Batches, size: int) -> Trial:
        assert len(batches[0][1]) == size
        return Trial(size, next(speeds), measure(learn, batches, size).memory)

    monkeypatch.setattr(module, "_try", measured)
    trials, too_large = find_batch_size(small_config(corpus, tmp_path / "run"), Progress())
    assert [trial.batch_size for trial in trials] == [8, 16, 32]
    assert too_large is None
    assert recommended(trials).batch_size == 16
    assert "train.batch_size=16: 190 examples/s" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def runs_out(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = TrainingStep.__call__

    def limited(self: TrainingStep, features: Tensor, labels: Tensor, step: int, learning_rate: float) -> None:
        if len(labels) >= at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        learn(self, features, labels, step, learning_rate)

    monkeypatch.setattr(TrainingStep, "__call__", limited)
    monkeypatch.setattr(module, "SECONDS", 0.01)
    monkeypatch.setattr(module, "GAIN", 0.0)


def test_it_stops_when_memory_runs_out(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_out(64, monkeypatch)
    trials, too_large = find_batch_size(small_config(corpus, tmp_path / "run", accumulate=2), Progress("silent"))
    assert [trial.batch_size for trial in trials] == [16, 32]
    assert too_large == 64


def test_not_even_the_smallest_fits(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_out(8, monkeypatch)
    with pytest.raises(UserError, match=r"memory runs out even at train\.batch_size=8; raise train\.accumulate"):
        find_batch_size(small_config(corpus, tmp_path / "run"), Progress("silent"))

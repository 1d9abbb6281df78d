import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments import N_MELS, write_easy_corpus
from speakerid.config.model import ConformerConfig, ModelConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.store import FrameStore
from speakerid.evaluation.baseline import linear_baseline
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.batches import Crops
from speakerid.training.predict import predict, predict_batches


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    return open_corpus(write_easy_corpus(tmp_path_factory.mktemp("predict") / "corpus"))[1]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    encoder = ConformerConfig(kind="conformer", num_layers=2, dim_feedforward=16, kernel_size=5)
    return SpeakerClassifier(ModelConfig(d_model=12, encoder=encoder), N_MELS, 5)


def test_scores_are_log_probabilities_in_the_order_asked_for(store: FrameStore, model: nn.Module) -> None:
    indices = [7, 3, 20, 0, 11]
    scores = predict([model], store, indices, frames_per_batch=90)
    assert scores.exp().sum(-1) == pytest.approx(torch.ones(5))
    model.eval()
    with torch.no_grad():
        alone = torch.cat([model(store.utterance(index)[None]).log_softmax(-1) for index in indices])
    torch.testing.assert_close(scores, alone, atol=1e-5, rtol=0)


def test_a_training_model_is_left_training_and_its_statistics_alone(store: FrameStore, model: nn.Module) -> None:
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict([model], store, range(10), frames_per_batch=500)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_training_model_is_left_training_when_the_reader_stops(store: FrameStore, model: nn.Module) -> None:
    model.train()
    batches = predict_batches([model], store, range(10), frames_per_batch=1)
    next(iter(batches))
    batches.close()  # type: ignore[attr-defined]
    assert model.training


def test_crops_come_from_the_middle(store: FrameStore, model: nn.Module) -> None:
    model.eval()
    frames = store.utterance(4)
    start = (len(frames) - 10) // 2
    with torch.no_grad():
        expected = model(frames[None, start : start + 10]).log_softmax(-1)
    torch.testing.assert_close(predict([model], store, [4], 1000, crop_frames=10), expected)


def written_out_mean(model: nn.Module, frames: Tensor, count: int, length: int) -> Tensor:
    """Log-probabilities of an utterance, averaged over the whole of it and its crops, one view at a time."""
    room = len(frames) - length
    views = [frames]
    if room > 0:
        starts = [room // 2] if count == 1 else [room * k // (count - 1) for k in range(count)]
        views += [frames[start : start + length] for start in starts]
    with torch.no_grad():
        return sum(model(view[None])[0].log_softmax(-1) for view in views) / len(views)  # type: ignore[return-value]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("frames_per_batch", [1, 45, 130, 5_000])
def test_views_are_averaged_as_written_out_in_any_batch(
    count: int, frames_per_batch: int, store: FrameStore, model: nn.Module
) -> None:
    model.eval()
    indices = [7, 3, 20, 0, 11, 5]
    length = int(store.lengths[indices].min())  # one utterance at least is no longer than a crop
    scores = predict([model], store, indices, frames_per_batch, crops=Crops(count, length))
    expected = torch.stack([written_out_mean(model, store.utterance(index), count, length) for index in indices])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    whole = predict([model], store, indices, frames_per_batch)
    shortest = int(store.lengths[indices].argmin())
    assert (scores - whole).abs().amax(-1)[shortest] < 1e-6
    assert (scores - whole).abs().max() > 1e-4


def test_an_ensemble_averages_over_models_and_views(store: FrameStore, model: nn.Module) -> None:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.1
    crops = Crops(3, 15)
    alone = [predict([one], store, range(6), 200, crops=crops) for one in (model, other)]
    torch.testing.assert_close(predict([model, other], store, range(6), 200, crops=crops), sum(alone) / 2)


def test_crops_are_taken_from_the_middle_frames(store: FrameStore, model: nn.Module) -> None:
    """With `crop_frames`, crops are taken of the 18 frames from the middle."""
    model.eval()
    frames = store.utterance(4)
    start = (len(frames) - 18) // 2
    expected = written_out_mean(model, frames[start : start + 18], 2, 10)
    found = predict([model], store, [4], 1000, crop_frames=18, crops=Crops(2, 10))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)


LONG_UTTERANCE = """
import resource
import numpy as np
from speakerid.training.batches import Crops
from speakerid.corpus.store import FrameStore
from speakerid.training.predict import predict
from speakerid.config.model import ConformerConfig, ModelConfig
from speakerid.nn.classifier import SpeakerClassifier

model = SpeakerClassifier(ModelConfig(d_model=8, encoder=ConformerConfig(kind="conformer")), 40, 3)
store = FrameStore(np.zeros((7193, 40), np.float32), np.array([0]), np.array([7193]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert predict([model], store, [0], frames_per_batch=100, crops=Crops(20, 1000)).isfinite().all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_longest_utterance_of_hw4_does_not_exhaust_memory() -> None:
    """Scores of all pairs of its 7,193 frames, with their distances, would be 620 MB; its peak is its own process's."""
    done = subprocess.run([sys.executable, "-c", LONG_UTTERANCE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400_000  # kB


def test_the_baseline_separates_what_is_linear(tmp_path: Path) -> None:
    corpus, store = open_corpus(write_easy_corpus(tmp_path / "corpus"))
    labels = corpus.labelled.speakers.tolist()
    train = [index for index in range(len(store)) if index % 4]
    test = [index for index in range(len(store)) if index % 4 == 0][::-1]
    predicted = linear_baseline(store, train, [labels[i] for i in train], store, test)
    assert predicted.tolist() == [labels[i] for i in test]

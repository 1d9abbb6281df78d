from pathlib import Path

import pytest
import torch
from torch import nn

from experiments import small_config, write_easy_corpus
from speakerid.base.progress import Progress
from speakerid.nn.layers import BatchNorm
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.moving_average import MovingAverage
from speakerid.training.run import train
from speakerid.training.training_data import open_training_data
from speakerid.training.validation import validate


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_every_step_is_weighted_as_in_the_formula(decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), BatchNorm(2))
    average = MovingAverage(model, decay)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(20):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)
        model(torch.randn(4, 3))
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            mean = kept * expected[name] + (1 - kept) * value
            expected[name] = mean if value.is_floating_point() else value.clone()
    for name, value in average.model.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_it_is_validated_used_and_saved(tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    run = train(small_config(corpus, tmp_path / "run", ema=0.8)).run
    checkpoint = Checkpoint.load(run.last)
    assert checkpoint.average is not None
    assert any(not torch.equal(checkpoint.average[name], value) for name, value in checkpoint.model.items())
    model = checkpoint.build_model()
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint.average[name])
    silent = Progress("silent")
    data = open_training_data(checkpoint.config, silent)
    valid = data.labelled_parts(data.split.final)[1]
    losses = []
    for weights in (checkpoint.average, checkpoint.model):
        model.load_state_dict(weights)
        figures = validate(model, valid, checkpoint.config.data.frames_per_batch, silent)
        losses.append(figures["loss"])
    validated = run.read_log().valid[-1].loss
    assert validated == pytest.approx(losses[0], rel=1e-5)
    assert validated != pytest.approx(losses[1], rel=1e-3)

"""A checkpoint is whole, plain data, or refused with one line."""

import os
from pathlib import Path

import pytest
import torch

from experiments import small_config, write_easy_corpus
from speakerid.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", total_steps=3)
    return train(config).run.last


def test_it_says_everything(path: Path) -> None:
    checkpoint = Checkpoint.load(path)
    assert checkpoint.step == 3
    assert checkpoint.speakers == ("anna", "ben", "cleo")
    assert checkpoint.features.n_mels == 8
    assert checkpoint.config.train.batch_size == 6
    assert checkpoint.optimizer["state"]
    assert checkpoint.validated == 3
    assert checkpoint.code_version
    assert not checkpoint.build_model().training


def test_it_comes_back_as_it_was(path: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(path)
    checkpoint.save(tmp_path / "copy.pt")
    again = Checkpoint.load(tmp_path / "copy.pt")
    assert again.config == checkpoint.config
    assert all(torch.equal(again.model[name], weight) for name, weight in checkpoint.model.items())


def test_plain_data_only(path: Path) -> None:
    assert torch.load(path, weights_only=True)["format"] == "speakerid checkpoint 3"


def test_truncated(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    cut = tmp_path / "cut.pt"
    for length in range(0, len(content), max(1, len(content) // 40)):
        cut.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cut\.pt: no sound checkpoint: (truncated|holds)"):
            Checkpoint.load(cut)


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"format": "speakerid checkpoint 3", "model": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt: no sound checkpoint: holds Python objects or code"):
        Checkpoint.load(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_another_format(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"found format None, expected 'speakerid checkpoint 3'"):
        Checkpoint.load(tmp_path / "other.pt")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pt: no such checkpoint"):
        Checkpoint.load(tmp_path / "none.pt")

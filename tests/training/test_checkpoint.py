"""A checkpoint is intact plain data, or an error of one line."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import Bomb, assert_same, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", total_steps=3)
    return train(config).run.last


def test_it_holds_everything(path: Path) -> None:
    checkpoint = Checkpoint.load(path)
    assert checkpoint.step == 3
    assert checkpoint.speakers == ("anna", "ben", "cleo")
    assert checkpoint.features.n_mels == 8
    assert checkpoint.config.train.batch_size == 6
    assert checkpoint.optimizers[0]["state"]
    assert checkpoint.validated == 3
    assert checkpoint.code_version
    assert not checkpoint.build_model().training


def test_it_is_loaded_as_saved(path: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(path)
    checkpoint.save(tmp_path / "copy.pt")
    again = Checkpoint.load(tmp_path / "copy.pt")
    assert again.config == checkpoint.config
    assert all(torch.equal(again.model[name], weight) for name, weight in checkpoint.model.items())


def test_settings_of_former_versions_are_read(path: Path, tmp_path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["config"]["train"]["classifier_steps"] = 0
    torch.save(content, tmp_path / "former.pt")
    assert Checkpoint.load(tmp_path / "former.pt").config == Checkpoint.load(path).config
    content["config"]["train"]["classifier_steps"] = 9
    torch.save(content, tmp_path / "former.pt")
    with pytest.raises(UserError, match=r"^.*former\.pt: config: train: classifier_steps: found 9, but .* no longer "):
        Checkpoint.load(tmp_path / "former.pt")


def test_plain_data_only(path: Path) -> None:
    assert torch.load(path, weights_only=True)["format"] == "speakerid checkpoint 7"


def test_truncated(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    cut = tmp_path / "cut.pt"
    for length in range(0, len(content), 1_000):
        cut.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"cut\.pt: not a valid checkpoint: truncated"):
            Checkpoint.load(cut)


def test_a_changed_byte_is_refused_or_changes_nothing(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    expected, changed = vars(Checkpoint.load(path)), tmp_path / "changed.pt"
    rng = np.random.default_rng(0)
    directory = content.index(b"PK\x01\x02")
    refused = 0
    for position in [*rng.integers(len(content), size=150), *rng.integers(directory, len(content), size=50)]:
        before = content[position]
        content[position] ^= int(rng.integers(1, 256))
        changed.write_bytes(content)
        content[position] = before
        try:
            found = vars(Checkpoint.load(changed))
        except UserError:
            refused += 1
        else:
            assert_same(found, expected, str(position))
    assert refused > 100


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"format": "speakerid checkpoint 7", "model": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt: not a valid checkpoint: holds Python objects or code"):
        Checkpoint.load(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, {"format": "speakerid checkpoint 2"}, [1.0], None])
def test_another_format(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"^\S*other\.pt: found format .*, expected 'speakerid checkpoint 7'; .*$"):
        Checkpoint.load(tmp_path / "other.pt")


@pytest.mark.parametrize("name", [field.name for field in fields(Checkpoint) if field.name != "precision"])
def test_a_part_that_is_missing_is_named(name: str, path: Path, tmp_path: Path) -> None:
    content = torch.load(path)
    del content[name]
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match=rf"^\S*other\.pt: {name}: missing; .*$"):
        Checkpoint.load(tmp_path / "other.pt")


def test_weights_of_another_model(path: Path, tmp_path: Path) -> None:
    content = torch.load(path)
    content["model"]["prenet.weight"] = torch.zeros(3, 3)
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"^the weights .* model .*$"):
        Checkpoint.load(tmp_path / "other.pt").build_model()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pt: no such checkpoint"):
        Checkpoint.load(tmp_path / "none.pt")

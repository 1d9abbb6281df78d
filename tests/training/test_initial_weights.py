"""`init_from`: which weights are taken, which are new, and errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments import (
    Bomb,
    answer,
    assert_same_run,
    at_step,
    interrupt,
    small_config,
    write_config,
    write_easy_corpus,
)
from speakerid.base.errors import UserError
from speakerid.config import Config, parse
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

OTHERS = ("anna", "ben", "dora", "emil")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("initial") / "corpus")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("initial") / "others", speakers=OTHERS)


@pytest.fixture(scope="module")
def source(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a moving average."""
    return train(small_config(corpus, tmp_path_factory.mktemp("initial") / "source", ema=0.8)).run.last


def beginning(
    corpus: Path, run: Path, init_from: Path | None, model: dict[str, Any] | None = None, **train: object
) -> Config:
    """A short run that keeps its first checkpoint; `model` overrides settings of the small model."""
    content = small_config(corpus, run, total_steps=4, keep_last=9, **train).model_dump(mode="json")
    for name, value in (model or {}).items():
        section, _, setting = name.rpartition(".")
        (content["model"][section] if section else content["model"])[setting] = value
    return parse(Config, content | {"init_from": init_from}, "test")


def first_weights(config: Config) -> dict[str, Tensor]:
    """Initial weights of a run."""
    return Checkpoint.load(train(config).run.path / "checkpoints" / "00000000.pt").model


def assert_taken(weights: dict[str, Tensor], source: Path, parts: tuple[str, ...]) -> None:
    """Check that the weights of exactly these parts are those of the source."""
    there = Checkpoint.load(source).inference_weights
    for name, value in weights.items():
        if value.numel() > 1:  # not the counters of BatchNorm, which agree anyway
            same = value.shape == there[name].shape and torch.equal(value, there[name])
            assert same == name.startswith(parts), name


EVERYTHING = ("prenet.", "encoder.", "classifier.")
IN_FRONT = EVERYTHING[:2]


def test_everything_is_taken_for_the_same_speakers(
    corpus: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = first_weights(beginning(corpus, tmp_path / "run", source, crop_frames=20))
    assert_taken(weights, source, EVERYTHING)
    taken = f"Taken from {source} (step 12): prenet, encoder, classifier; new: nothing\n"
    assert capsys.readouterr().out.count(taken) == 1


def test_the_classifier_of_other_speakers_is_new(
    others: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = first_weights(beginning(others, tmp_path / "run", source))
    reason = "new: classifier (the 4 speakers of the corpus are not the checkpoint's 3)\n"
    assert f"Taken from {source} (step 12): prenet, encoder; {reason}" in capsys.readouterr().out
    plain = first_weights(beginning(others, tmp_path / "plain", None))
    assert_taken(weights, source, IN_FRONT)
    for name, value in weights.items():
        assert torch.equal(value, plain[name]) or not name.startswith("classifier."), name


def test_speakers_in_another_order_get_a_new_classifier(source: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", speakers=("ben", "anna", "cleo"))
    checkpoint = Checkpoint.load(source)
    turned = replace(checkpoint, speakers=("cleo", "ben", "anna"))
    turned.save(tmp_path / "turned.pt")
    assert_taken(first_weights(beginning(corpus, tmp_path / "run", tmp_path / "turned.pt")), source, IN_FRONT)


def test_voices_that_only_helped_to_train_are_classes_too(
    corpus: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helped = replace(Checkpoint.load(source), extra_classes=6)
    helped.save(tmp_path / "helped.pt")
    assert_taken(first_weights(beginning(corpus, tmp_path / "run", tmp_path / "helped.pt")), source, IN_FRONT)
    assert (
        "new: classifier (the corpus has 0 voices that only help to train, the checkpoint 6)\n"
        in capsys.readouterr().out
    )


def test_another_kind_of_classifier_is_new(
    corpus: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = beginning(corpus, tmp_path / "run", source, {"classifier": "linear"})
    first_weights(config)
    assert "new: classifier (model.classifier is linear, but batchnorm in the checkpoint)\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("now", "parts"), [({"scale": 20.0}, EVERYTHING), ({"sub_centers": 3}, IN_FRONT), ({"batch_norm": True}, IN_FRONT)]
)
def test_a_classifier_of_other_settings_is_new_but_for_its_scale(
    now: dict[str, Any], parts: tuple[str, ...], corpus: Path, tmp_path: Path
) -> None:
    cosine = {"kind": "cosine", "sub_centers": 2}
    source = train(beginning(corpus, tmp_path / "source", None, {"classifier": cosine})).run.last
    there = Checkpoint.load(source).model
    weights = first_weights(beginning(corpus, tmp_path / "run", source, {"classifier": cosine | now}))
    for name in ("prenet.weight", "classifier.weight"):
        assert torch.equal(weights[name], there[name]) == name.startswith(parts), name


def test_a_moving_average_starts_from_them(corpus: Path, source: Path, tmp_path: Path) -> None:
    run = train(beginning(corpus, tmp_path / "run", source, ema=0.9)).run
    average = Checkpoint.load(run.path / "checkpoints" / "00000000.pt").average
    assert average is not None
    assert_taken(average, source, EVERYTHING)


def test_dropout_may_differ_and_float64_takes_float32(corpus: Path, source: Path, tmp_path: Path) -> None:
    model = {"encoder.dropout": 0.0, "encoder.layer_drop": 0.2}
    weights = first_weights(beginning(corpus, tmp_path / "run", source, model, precision="float64"))
    assert weights["prenet.weight"].dtype == torch.float64
    assert torch.equal(weights["prenet.weight"].float(), Checkpoint.load(source).inference_weights["prenet.weight"])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"d_model": 16}, "model.d_model is 16, but 8 in the checkpoint;"),
        ({"encoder.share_layers": True}, "model.encoder.share_layers is True, but False in the checkpoint;"),
        (
            {"subtract_mean": True, "encoder.dim_feedforward": 12, "embedding_dim": 5},
            "model.subtract_mean is True, but False in the checkpoint; "
            "model.encoder.dim_feedforward is 12, but 16 in the checkpoint; "
            "model.embedding_dim is 5, but None in the checkpoint;",
        ),
        (
            {"encoder": {"kind": "transformer", "nhead": 2}},
            "model: model.encoder is transformer, but conformer in the checkpoint;",
        ),
        (
            {"pooling": "statistics", "classifier": "mlp"},
            "model: model.pooling is statistics, but mean in the checkpoint; use the same",
        ),
    ],
)
def test_other_settings_before_the_classifier_are_named(
    model: dict[str, Any], expected: str, corpus: Path, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refused:
        train(beginning(corpus, tmp_path / "run", source, model))
    assert str(refused.value).startswith(f"init_from: {source}: its weights are of another model: ")
    assert expected in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_other_features_are_named(source: Path, tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", n_mels=9)
    settings = (corpus / "features.yaml").read_text()
    (corpus / "features.yaml").write_text(settings.replace("f_min: 50.0", "f_min: 20.0"))
    with pytest.raises(
        UserError,
        match=r"features\.n_mels is 9, but 8 in the checkpoint; features\.f_min is 20\.0, but 50\.0 in the checkpoint;",
    ):
        train(beginning(corpus, tmp_path / "run", source))


def test_a_missing_checkpoint_is_one_line(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "config.yaml", beginning(corpus, tmp_path / "run", tmp_path / "none.pt"))
    assert answer(monkeypatch, "train", "--config", config) == 2
    assert capsys.readouterr().err == (
        f"error: init_from: {tmp_path}/none.pt: no such checkpoint; a training run writes best.pt and last.pt\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_damaged_or_foreign_checkpoint_is_refused(corpus: Path, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    config = beginning(corpus, tmp_path / "run", path)
    path.write_bytes(source.read_bytes()[:10_000])
    with pytest.raises(UserError, match=r"^init_from: \S*other\.pt: not a valid checkpoint: truncated"):
        train(config)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(UserError, match=r"^init_from: \S*other\.pt: found format None, expected 'speakerid checkpoint"):
        train(config)
    torch.save({**torch.load(source), "progress": Bomb(tmp_path / "ran")}, path)
    with pytest.raises(
        UserError, match=r"^init_from: \S*other\.pt: not a valid checkpoint: holds Python objects or code"
    ):
        train(config)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("speakers", ["corpus", "others"])
def test_missing_and_superfluous_weights_are_refused(
    speakers: str, source: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = Checkpoint.load(source)
    weights = dict(checkpoint.inference_weights)
    weights["somewhere.weight"] = weights.pop("prenet.weight")
    replace(checkpoint, average=weights).save(tmp_path / "other.pt")
    with pytest.raises(
        UserError, match=r"^init_from: \S*other\.pt: the weights of the checkpoint after step 12 do not fit"
    ):
        train(beginning(request.getfixturevalue(speakers), tmp_path / "run", tmp_path / "other.pt"))


def test_a_resumed_run_does_not_need_the_file(
    corpus: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "source.pt"
    path.write_bytes(source.read_bytes())
    whole = train(beginning(corpus, tmp_path / "whole", path)).run.path
    config = beginning(corpus, tmp_path / "run", path)
    with monkeypatch.context() as patch:
        at_step(patch, 0, interrupt)
        train(config)
    path.unlink()
    assert_same_run(train(config, resume=True).run.path, whole)


def test_a_run_is_not_resumed_with_another_init_from(corpus: Path, source: Path, tmp_path: Path) -> None:
    train(beginning(corpus, tmp_path / "run", source))
    with pytest.raises(UserError, match=rf"init_from is None, was {source};"):
        train(beginning(corpus, tmp_path / "run", None), resume=True)

"""Settings of any size train or give an error of one line, without filling the memory first."""

from pathlib import Path

import pytest

from experiments import answer, small_config, write_config, write_easy_corpus

GIANT = 10**9


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("size") / "corpus")


@pytest.mark.parametrize(
    "overrides",
    [
        [f"model.d_model={GIANT}"], ["model.d_model=100000"], [f"model.encoder.dim_feedforward={GIANT}"],
        [f"model.encoder.kernel_size={GIANT - 1}"], [f"model.encoder.conv_channels={GIANT}"],
        [f"model.embedding_dim={GIANT}"], [f"model.pooling_width={GIANT}"],
        ["model.encoder.num_layers=200", "model.d_model=20000"],
        [f"model.pooling={{kind: self_attentive, nhead: {GIANT}}}"],
        [f"model.classifier={{kind: cosine, sub_centers: {GIANT}}}"],
        [f"train.batch_size={GIANT}"], [f"train.crop_frames={GIANT}"], [f"train.longest_crop_frames={GIANT}"],
        ["train.batch_size=1000000", "train.crop_frames=1000000"],
        ["train.total_steps=1" + "0" * 30], ["seed=1" + "0" * 30], ["train.batch_size=true"],
        ["train.learning_rate=.nan"], ["train.learning_rate=1e400"], ["train.learning_rate=-0.0"],
        [f"train.mixup={'9' * 400}"], [f"model.encoder.num_layers={GIANT}"],
    ],
    ids=str,
)  # fmt: skip
def test_a_giant_is_refused_in_one_line(
    overrides: list[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config = write_config(tmp_path / "x.yaml", small_config(corpus, tmp_path / "run"))
    assert answer(monkeypatch, "train", "--quiet", "--config", config, *overrides) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        [f"data.frames_per_batch={GIANT}"], [f"train.keep_last={GIANT}", f"train.keep_best={GIANT}"],
        [f"train.save_steps={GIANT}", f"train.log_steps={GIANT}", f"train.valid_steps={GIANT}"],
        [f"train.spec_augment={{time_masks: 100, time_width: {GIANT}, band_masks: 100, band_width: {GIANT}}}"],
        ["train.mixup=1e308"], ["seed=18446744073709551615"], ["train.weight_decay=-0"], [f"train.rollbacks={GIANT}"],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_large_and_harmless_trains(
    overrides: list[str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "x.yaml", small_config(corpus, tmp_path / "run"))
    assert answer(monkeypatch, "train", "--quiet", "--config", config, *overrides) == 0

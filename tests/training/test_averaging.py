"""Averaging of checkpoints: which ones, the mean, its validation, and errors."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments import answer, small_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.base.progress import Progress
from speakerid.evaluation.checkpoints import evaluate_checkpoints
from speakerid.training.averaging import average_checkpoints
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.predict import predict
from speakerid.training.refit import refit_classifier
from speakerid.training.run import train
from speakerid.training.training_data import open_training_data

CPU = torch.device("cpu")
KEPT = {"keep_last": 4, "keep_best": 3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_easy_corpus(tmp_path_factory.mktemp("averaging") / "corpus")


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that saves every 3 steps, validates every 4, and keeps steps 6, 8, 9 and 12, and the best."""
    return train(small_config(corpus, tmp_path_factory.mktemp("averaging") / "run", **KEPT)).run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return shutil.copytree(trained, tmp_path / "run")


def saved(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"{step:08}.pt"


def assert_mean(weights: dict[str, Tensor], run: Path, steps: list[int], but: str = "nothing") -> None:
    several = [Checkpoint.load(saved(run, step)).inference_weights for step in steps]
    assert weights.keys() == {name for name in several[0] if not name.startswith(but)}
    for name, value in weights.items():
        if value.is_floating_point():
            mean = sum(one[name].double() for one in several) / len(several)
            assert torch.equal(value, torch.as_tensor(mean).float()), name
        else:
            assert torch.equal(value, several[-1][name]), name


def test_all_last_checkpoints_are_averaged(run: Path, tmp_path: Path) -> None:
    assert saved(run, 4).exists(), "one of the best, which is none of the last"
    mean, best = average_checkpoints(run, tmp_path / "mean.pt")
    assert mean.steps == (6, 8, 9, 12)
    assert best.steps == (Checkpoint.load(run / "best.pt").step,)
    written, newest = Checkpoint.load(tmp_path / "mean.pt"), Checkpoint.load(run / "last.pt")
    assert_mean(written.model, run, [6, 8, 9, 12])
    assert_mean(written.build_model().state_dict(), run, [6, 8, 9, 12])
    assert (written.step, written.validated) == (12, 12)
    assert (written.config, written.speakers, written.features) == (newest.config, newest.speakers, newest.features)


def test_the_last_two_are_the_last_two(run: Path, tmp_path: Path) -> None:
    mean, _ = average_checkpoints(run, tmp_path / "mean.pt", last=2)
    assert mean.steps == (9, 12)
    assert_mean(Checkpoint.load(tmp_path / "mean.pt").model, run, [9, 12])


def test_moving_averages_are_averaged(corpus: Path, tmp_path: Path) -> None:
    run = train(small_config(corpus, tmp_path / "run", ema=0.8, **KEPT)).run.path
    assert Checkpoint.load(saved(run, 9)).average is not None
    average_checkpoints(run, tmp_path / "mean.pt")
    written = Checkpoint.load(tmp_path / "mean.pt")
    assert written.average is None
    assert_mean(written.inference_weights, run, [6, 8, 9, 12])


def test_the_classifier_of_a_mean_is_refit_as_that_of_its_run(corpus: Path, tmp_path: Path) -> None:
    config = small_config(corpus, tmp_path / "run", refit_classifier=True, **KEPT)
    average_checkpoints(train(config).run.path, tmp_path / "mean.pt")
    mean = Checkpoint.load(tmp_path / "mean.pt")
    weights = {name: weight for name, weight in mean.inference_weights.items() if not name.startswith("classifier.1.")}
    assert_mean(weights, tmp_path / "run", [6, 8, 9, 12], but="classifier.1.")
    model = mean.build_model()
    refit_classifier(model, config, open_training_data(config), CPU, Progress("silent"))
    torch.testing.assert_close(model.state_dict(), mean.inference_weights)


def test_the_weights_a_run_began_with_are_not_averaged(corpus: Path, tmp_path: Path) -> None:
    run = train(small_config(corpus, tmp_path / "run", total_steps=6, keep_last=9)).run.path
    assert saved(run, 0).exists()
    mean, _ = average_checkpoints(run, tmp_path / "mean.pt")
    assert mean.steps == (3, 4, 6)


def test_float64_is_averaged_too(corpus: Path, tmp_path: Path) -> None:
    run = train(small_config(corpus, tmp_path / "run", precision="float64", **KEPT)).run.path
    mean, _ = average_checkpoints(run, tmp_path / "mean.pt")
    assert 0 <= mean.figures["accuracy"] <= 1
    several = [Checkpoint.load(saved(run, step)).model["prenet.weight"] for step in mean.steps]
    torch.testing.assert_close(
        Checkpoint.load(tmp_path / "mean.pt").model["prenet.weight"].double(), torch.stack(several).mean(0)
    )


def test_both_are_validated_as_in_inference(run: Path, tmp_path: Path) -> None:
    mean, best = average_checkpoints(run, tmp_path / "mean.pt", frames_per_batch=70)
    for path, found in ((tmp_path / "mean.pt", mean), (run / "best.pt", best)):
        checkpoint = Checkpoint.load(path)
        data = open_training_data(checkpoint.config)
        valid = data.split.final.valid
        labels = torch.tensor(data.corpus.labelled.speakers).long()[valid]
        scores = predict([checkpoint.build_model()], data.store, valid, 100)
        assert found.figures["accuracy"] == (scores.argmax(-1) == labels).double().mean().item() == checkpoint.accuracy
        assert found.figures["loss"] == pytest.approx(F.nll_loss(scores, labels).item())
        row = evaluate_checkpoints([path], None, "valid", [], CPU)[-1]
        assert (row.accuracy, row.macro_accuracy) == (found.figures["accuracy"], found.figures["macro_accuracy"])


def test_the_command_prints_both_and_leaves_the_run_as_it_was(
    run: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert answer(monkeypatch, "average", run, "--last", 3) == 0
    figure = r"\d\.\d{4}"
    out = capsys.readouterr().out
    assert re.search(rf"^best\.pt, step \d+ +{figure} +{figure} +{figure}$", out, re.MULTILINE)
    assert re.search(rf"^mean of 3, steps 8 to 12 +{figure} +{figure} +{figure}$", out, re.MULTILINE)
    assert out.endswith(f"Mean: {run}/average.pt\n")
    assert {path for path in run.rglob("*") if path.is_file()} - before.keys() == {run / "average.pt"}
    assert all(path.read_bytes() == content for path, content in before.items())
    arguments = ["--data", corpus, "--output", tmp_path / "out.csv"]
    assert answer(monkeypatch, "infer", "--checkpoint", run / "average.pt", *arguments) == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 8


def test_a_run_may_start_from_the_mean(run: Path, corpus: Path, tmp_path: Path) -> None:
    average_checkpoints(run, tmp_path / "mean.pt")
    config = small_config(corpus, tmp_path / "tuned", total_steps=3, keep_last=9)
    tuned = train(config.model_copy(update={"init_from": tmp_path / "mean.pt"})).run.path
    assert_mean(Checkpoint.load(saved(tuned, 0)).model, run, [6, 8, 9, 12])


def test_too_few_checkpoints(corpus: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"run: found 4 .*, expected at least 5 to average; train with train\.keep_last=5$"
    ):
        average_checkpoints(run, tmp_path / "mean.pt", last=5)
    with pytest.raises(UserError, match="--last: found 1, expected 2 or more"):
        average_checkpoints(run, tmp_path / "mean.pt", last=1)
    lonely = train(small_config(corpus, tmp_path / "lonely", keep_last=1, keep_best=9)).run.path
    assert len(list((lonely / "checkpoints").iterdir())) > 1
    with pytest.raises(UserError, match=r"lonely: found 1 .*, expected at least 2 to average"):
        average_checkpoints(lonely, tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"^\S+: not a run with checkpoints; expected the run_dir of one$"):
            average_checkpoints(folder, tmp_path / "mean.pt")


@pytest.mark.parametrize("damaged", ["checkpoints/00000008.pt", "checkpoints/00000012.pt", "best.pt"])
def test_a_damaged_checkpoint_is_named_and_nothing_written(damaged: str, run: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "mean.pt"
    earlier.write_text("earlier")
    content = (run / damaged).read_bytes()
    (run / damaged).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{damaged}: not a valid checkpoint: truncated"):
        average_checkpoints(run, earlier)
    assert earlier.read_text() == "earlier"


def test_a_run_that_was_never_validated(run: Path, tmp_path: Path) -> None:
    (run / "best.pt").unlink()
    with pytest.raises(UserError, match=r"best\.pt: no such checkpoint"):
        average_checkpoints(run, tmp_path / "mean.pt")


@pytest.mark.parametrize("path", ["checkpoints/00000008.pt", "best.pt"])
@pytest.mark.parametrize("part", ["speakers", "extra_classes", "model"])
def test_a_checkpoint_of_another_run_is_named(path: str, part: str, run: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(run / path)
    model = checkpoint.config.model.model_copy(update={"subtract_mean": True})
    others = {
        "speakers": replace(checkpoint, speakers=("anna", "ben", "dora")),
        "extra_classes": replace(checkpoint, extra_classes=1),
        "model": replace(checkpoint, config=checkpoint.config.model_copy(update={"model": model})),
    }
    others[part].save(run / path)
    with pytest.raises(UserError, match=rf"{path}: its {part} (are|is) not (those|that) of the run's checkpoint"):
        average_checkpoints(run, tmp_path / "mean.pt")


def test_weights_that_do_not_fit_the_model(run: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(saved(run, 8))
    replace(checkpoint, model=checkpoint.model | {"prenet.weight": torch.zeros(3, 3)}).save(saved(run, 8))
    with pytest.raises(UserError, match=r"the weights of the checkpoint after step 8 do not fit the model"):
        average_checkpoints(run, tmp_path / "mean.pt")


def test_another_corpus_is_refused(tmp_path: Path) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus")
    run = train(small_config(corpus, tmp_path / "run", **KEPT)).run.path
    shutil.rmtree(corpus)
    write_easy_corpus(corpus, speakers=("anna", "ben", "dora"))
    with pytest.raises(UserError, match=r"corpus: its speakers or its features are not those that \S+run was trained"):
        average_checkpoints(run, tmp_path / "mean.pt")


@pytest.mark.parametrize("output", ["best.pt", "last.pt", "checkpoints/00000012.pt", "checkpoints/00000099.pt"])
def test_checkpoints_of_the_run_are_not_replaced(
    output: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.chdir(run.parent)
    assert answer(monkeypatch, "average", "run", "--output", run / output) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --output: ")
    assert str(run / output) in line
    assert "choose another file" in line
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

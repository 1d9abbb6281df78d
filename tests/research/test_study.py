"""A study expands its grid, continues after a kill, and reports the outcomes of its runs."""

import csv
import math
import re
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from experiments import answer_of_script, write_easy_corpus
from processes import FORKS, become
from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.config.model import ModelConfig
from speakerid.config.settings import parse
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.divergence import Collapsed, Diverged
from studies.figures import outcomes
from studies.grid import load_study
from studies.probe import Probe
from studies.running import lowest_loss, outcome

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "research" / "study.py"
SHIPPED = sorted((ROOT / "configs" / "study").glob("*.yaml"))

BASE: dict[str, Any] = {
    "run_dir": "runs/base",
    "model": {"d_model": 8, "encoder": {"kind": "transformer", "num_layers": 1, "dim_feedforward": 8}},
    "train": {
        "total_steps": 40, "warmup_steps": 2, "valid_steps": 20, "save_steps": 40, "log_steps": 10, "batch_size": 8,
        "crop_frames": 16, "learning_rate": 0.01,
    },
}  # fmt: skip
STUDY: dict[str, Any] = {
    "base": "base.yaml",
    "axes": {
        "classifier": {"setting": "model.classifier", "values": ["linear", "batchnorm"]},
        "rate": {"alternatives": {"low": ["train.learning_rate=0.03"], "none": ["train.learning_rate=1e-30"],
                                  "absurd": ["train.learning_rate=1e30"]}},
    },
}  # fmt: skip


def write_study(folder: Path, study: dict[str, Any] = STUDY, **base: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE | base, sort_keys=False))
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_level_meets_every_other_and_every_seed(tmp_path: Path) -> None:
    study = load_study(write_study(tmp_path, STUDY | {"seeds": [3, 5]}))
    assert study.axes == {"classifier": ["linear", "batchnorm"], "rate": ["low", "none", "absurd"]}
    assert [(*cell.levels, cell.config.seed) for cell in study.cells] == [
        (classifier, rate, seed)
        for classifier in ("linear", "batchnorm")
        for rate in ("low", "none", "absurd")
        for seed in (3, 5)
    ]
    for cell in study.cells:
        assert cell.config.model.classifier.kind == cell.levels[0]
        assert cell.config.train.learning_rate == {"low": 0.03, "none": 1e-30, "absurd": 1e30}[cell.levels[1]]
        assert cell.config.device == "cpu"


def test_a_name_follows_the_settings(tmp_path: Path) -> None:
    names = {cell.levels: cell.name for cell in load_study(write_study(tmp_path)).cells}
    assert len(set(names.values())) == 6
    grown = STUDY | {
        "axes": STUDY["axes"] | {"classifier": {"setting": "model.classifier", "values": ["mlp", "linear"]}}
    }
    grown_names = {cell.levels: cell.name for cell in load_study(write_study(tmp_path, grown)).cells}
    assert all(grown_names[levels] == name for levels, name in names.items() if levels[0] == "linear")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_load_and_every_cell_is_an_experiment(path: Path) -> None:
    study = load_study(path)
    assert len(study.cells) > 1
    for cell in study.cells:
        assert parse(Config, cell.config.model_dump(mode="json"), path) == cell.config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_names_of_levels_stand_apart_and_inside_the_picture(path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = outcomes(load_study(path), {})
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        names = [name for name in axes.get_xticklabels() if name.get_text()]
        boxes = [name.get_window_extent(canvas.get_renderer()) for name in names]
        if not any(name.get_rotation() for name in names):  # of turned ones the boxes overlap, and the names do not
            assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
        assert all(0 <= box.x0 < box.x1 <= figure.bbox.width and box.y0 >= 0 for box in boxes)


def test_the_report_s_study_is_its_grid() -> None:
    study = load_study(ROOT / "configs" / "study" / "report.yaml")
    assert len(study.cells) == math.prod(map(len, study.axes.values())) * 3
    models = [cell.config.model for cell in study.cells]
    encoders = {(model.encoder.kind, getattr(model.encoder, "norm_first", None)) for model in models}
    assert encoders == {("transformer", False), ("transformer", True), ("conformer", None)}
    assert all(model.encoder.share_layers for model in models)
    assert {model.classifier.kind for model in models} == {"linear", "mlp", "batchnorm"}


def with_axis(axis: dict[str, Any]) -> dict[str, Any]:
    return STUDY | {"axes": {"thing": axis}}


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (STUDY | {"seed": [1]}, r"study\.yaml: seed: unknown setting; did you mean 'seeds'\?"),
        (STUDY | {"seeds": []}, r"study\.yaml: seeds: .*at least 1"),
        (STUDY | {"axes": {}}, r"study\.yaml: axes: .*at least 1"),
        (STUDY | {"base": "nowhere.yaml"}, r"nowhere\.yaml: cannot be read"),
        (with_axis({"setting": "train.learning_rate", "value": [1]}), r"axes\.thing: value: .*did you mean 'values'\?"),
        (with_axis({"setting": "train.learning_rate"}), r"axes\.thing: .*either a setting and its values, or alt"),
        (with_axis({"setting": "model.d_modle", "values": [8]}), r"yaml: 8 \| seed 0: model\.d_modle: .*d_model"),
        (with_axis({"setting": "model.d_model", "values": [8, 8]}), r"axes\.thing: .*found 8 twice"),
        (with_axis({"setting": "model.d_model", "values": [8, "8.0"]}), r"8 \| seed 0 and 8\.0 \| seed 0 are the same"),
        (with_axis({"setting": "seed", "values": [1]}), r"override 'seed=1': expected none of .*which the study sets"),
        (with_axis({"setting": "train.rollbacks", "values": [1]}), r"train\.rollbacks: found 1, expected 0 in a study"),
        (with_axis({"alternatives": {"a": ["d_model 8"]}}), r"study\.yaml: a \| seed 0: override 'd_model 8'"),
    ],
)  # fmt: skip
def test_a_bad_study_is_answered_by_one_line(tmp_path: Path, study: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        load_study(write_study(tmp_path, study))
    assert re.search(said, str(error.value))
    assert "\n" not in str(error.value)


def test_the_script_answers_a_bad_study_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, STUDY | {"seed": 1})
    assert answer_of_script(monkeypatch, SCRIPT, study, tmp_path / "out") == 2
    assert re.fullmatch(r"error: .*study\.yaml: seed: unknown setting.*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("failure", "lowest", "expected"),
    [
        (None, 0.79 * math.log(40), "learned"),
        (None, 0.81 * math.log(40), "never learned"),
        (Collapsed(), 0.1, "collapsed"),
        (Diverged(), 0.1, "diverged"),
    ],
)
def test_an_outcome_follows_from_failure_and_loss(failure: BaseException | None, lowest: float, expected: str) -> None:
    assert outcome(failure, lowest, 40) == expected


def test_the_lowest_loss_may_be_that_of_the_present_window() -> None:
    assert lowest_loss({"lowest": 2.0, "window_loss": 30.0, "window_count": 10.0}) == 2.0
    assert lowest_loss({"lowest": math.inf, "window_loss": 30.0, "window_count": 10.0}) == 3.0
    assert lowest_loss({"lowest": 2.0, "window_loss": 0.0, "window_count": 0.0}) == 2.0


@pytest.mark.parametrize("classifier", ["linear", "batchnorm"])
def test_the_probe_sees_what_autograd_says(classifier: str) -> None:
    probe = Probe(log_steps=2)
    settings = {"d_model": 8, "classifier": classifier, "encoder": {"kind": "transformer", "dropout": 0}}
    config = parse(ModelConfig, settings, "test")
    model = probe.make_model(config, n_mels=4, n_speakers=3, n_extra=0)
    unwatched = SpeakerClassifier(config, n_mels=4, n_speakers=3)
    unwatched.load_state_dict(model.state_dict())
    features, labels = torch.randn(5, 12, 4), torch.tensor([0, 1, 2, 0, 1])
    for step in range(1, 4):
        model.zero_grad()
        embeddings = unwatched.embed(features).detach().requires_grad_()
        losses = nn.functional.cross_entropy(unwatched.classifier(embeddings), labels, reduction="none")
        (gradient,) = torch.autograd.grad(losses.sum(), embeddings)
        nn.functional.cross_entropy(model(features), labels).backward()
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        if step == 3:  # no line of the log is due
            break
        line = probe.trace[-1]
        norms = embeddings.norm(dim=-1)
        assert line["step"] == step
        assert line["embedding_norm"] == pytest.approx(norms.mean().item())
        assert line["embedding_spread"] == pytest.approx(norms.std(correction=0).item())
        assert line["gradient_norm"] == pytest.approx(norm.item(), rel=1e-5)
        assert line["input_gradient"] == pytest.approx(gradient.norm(dim=-1).mean().item(), rel=1e-4)
        assert 0 <= line["common_share"] <= 1
        if classifier == "batchnorm":
            centered = (embeddings - embeddings.mean(0)) / (embeddings.var(0, correction=0) + 1e-5).sqrt()
            assert line["normalized_norm"] == pytest.approx(centered.norm(dim=-1).mean().item(), rel=1e-4)
        assert ("normalized_norm" in line) == (classifier == "batchnorm")
    model.eval()
    model(features)
    assert [line["step"] for line in probe.trace] == [1, 2]


def test_common_share_is_1_where_all_embeddings_are_the_same() -> None:
    probe = Probe(log_steps=1)
    settings = {"d_model": 8, "classifier": "linear", "encoder": {"kind": "transformer", "dropout": 0}}
    model = probe.make_model(parse(ModelConfig, settings, "test"), n_mels=4, n_speakers=3, n_extra=0)
    model(torch.randn(1, 12, 4).expand(5, -1, -1)).sum().backward()
    assert probe.trace[0]["common_share"] == pytest.approx(1)
    assert probe.trace[0]["embedding_spread"] == pytest.approx(0, abs=1e-6)


@pytest.mark.nightly
def test_a_killed_study_goes_on_and_runs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_easy_corpus(tmp_path / "corpus", speakers=tuple("abcdefgh"))
    study = write_study(tmp_path, data={"root": str(corpus), "valid_fraction": 0.25})
    out = tmp_path / "out"
    process = FORKS.Process(target=become, args=(SCRIPT, [str(study), str(out), "--workers", "1"]))
    process.start()
    while len(finished := list((out / "results").glob("*.json"))) < 2 and process.is_alive():
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it had ended before it was killed"
    written = {path: path.stat().st_mtime_ns for path in finished}
    assert answer_of_script(monkeypatch, SCRIPT, study, out, "--workers", "0") == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written, "run twice"
    table = rows(out)
    assert [(row["classifier"], row["rate"]) for row in table] == [cell.levels for cell in load_study(study).cells]
    found = {(row["classifier"], row["rate"]): row["outcome"] for row in table}
    for classifier in ("linear", "batchnorm"):
        assert found[classifier, "low"] == "learned"
        assert found[classifier, "none"] == "never learned"
        assert found[classifier, "absurd"] == "diverged"
    for row in table:
        assert (row["normalized_norm_first"] != "") == (row["classifier"] == "batchnorm")
        assert float(row["gradient_norm_first"]) > 0
        assert bool(row["final_accuracy"]) == (row["outcome"] != "diverged")
    printed = capsys.readouterr().out
    assert "| linear | " in printed
    assert "1 diverged" in printed
    for picture in ("outcomes.png", "norms.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert not list(out.rglob("*.pt")), "a hundred runs' weights would be gigabytes"

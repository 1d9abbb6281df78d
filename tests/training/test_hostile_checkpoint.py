"""Hostile checkpoints: each is an error of one line or works, within little memory."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import answer, at_step, interrupt, small_config, write_config, write_easy_corpus
from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
Mutation = Callable[[dict[str, Any]], object]
GIANT = 10**9


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with Muon and a moving average, interrupted after step 6."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 5, interrupt)
        config = small_config(write_easy_corpus(folder / "corpus"), folder / "run", ema=0.9, optimizer="muon")
        return train(config, style="silent").run.path


def put(*path: str | int, value: object) -> Mutation:
    """Set the value at a path of keys."""

    def mutate(content: dict[str, Any]) -> None:
        inner: Any = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return mutate


def drop(*path: str | int) -> Mutation:
    def mutate(content: dict[str, Any]) -> None:
        inner: Any = content
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return mutate


def in_weights(change: Callable[[torch.Tensor], object], name: str = "prenet.weight") -> Mutation:
    """Replace a weight in the model and in its average."""

    def mutate(content: dict[str, Any]) -> None:
        for weights in (content["model"], content["average"]):
            weights[name] = change(weights[name])

    return mutate


def sparse(*size: int) -> torch.Tensor:
    return torch.sparse_coo_tensor(
        torch.zeros(len(size), 0, dtype=torch.int64), torch.zeros(0), size, check_invariants=False
    )


def deep(levels: int) -> object:
    inner: object = 0
    for _ in range(levels):
        inner = [inner]
    return inner


BAD: dict[str, Mutation] = {
    "speakers a number": put("speakers", value=5),
    "speakers none": put("speakers", value=[]),
    "speakers text": put("speakers", value="anna"),
    "speakers numbers": put("speakers", value=[1, 2, 3]),
    "speakers twice": put("speakers", value=["anna", "anna", "ben"]),
    "speakers a mapping": put("speakers", value={"anna": 1}),
    "speakers nameless": put("speakers", value=["anna", "", "ben"]),
    "speakers too many": put("speakers", value=[f"s{n}" for n in range(1_000)]),
    "speakers a tensor": put("speakers", value=torch.ones(3)),
    "extra classes text": put("extra_classes", value="x"),
    "extra classes giant": put("extra_classes", value=GIANT),
    "extra classes negative": put("extra_classes", value=-1),
    "extra classes true": put("extra_classes", value=True),
    "extra classes huge": put("extra_classes", value=10**5_000),
    "step negative": put("step", value=-1),
    "step text": put("step", value="6"),
    "step half": put("step", value=1.5),
    "step huge": put("step", value=10**30),
    "step a tensor": put("step", value=torch.tensor(6)),
    "validated ahead": put("validated", value=99),
    "accuracy text": put("accuracy", value="good"),
    "accuracy nan": put("accuracy", value=float("nan")),
    "accuracy 2": put("best_accuracy", value=2.0),
    "loss a list": put("best_loss", value=[1.0]),
    "rollbacks negative": put("rollbacks", value=-1),
    "model a list": put("model", value=[1, 2]),
    "model none": put("model", value=None),
    "model empty": put("average", value={}),
    "average text": put("average", value="x"),
    "average numbered": put("average", value={1: torch.zeros(1)}),
    "average numbers": put("average", value={"prenet.weight": 1.0}),
    "weights shaped otherwise": in_weights(lambda w: torch.zeros(3, 3)),
    "weights without a shape": in_weights(lambda w: torch.tensor(1.0)),
    "weights whole": in_weights(lambda w: w.long()),
    "weights complex": in_weights(lambda w: w.to(torch.complex64)),
    "weights sparse": in_weights(lambda w: sparse(*w.shape)),
    "weights sparse and giant": in_weights(lambda w: sparse(GIANT, GIANT)),
    "weights elsewhere": in_weights(lambda w: w.to("meta")),
    "weights a list": in_weights(lambda w: w.tolist()),
    "weights nan": in_weights(lambda w: w.fill_(float("nan"))),
    "weights infinite": in_weights(lambda w: w.fill_(float("inf"))),
    "weights repeated": in_weights(lambda w: torch.zeros(1).expand(10**11)),
    "variance negative": in_weights(lambda w: w - 5, "classifier.0.running_var"),
    "weights too few": lambda c: (c["model"].pop("prenet.weight"), c["average"].pop("prenet.weight")),
    "weights too many": lambda c: (c["model"].update(x=torch.ones(1)), c["average"].update(x=torch.ones(1))),
    "width giant": put("config", "model", "d_model", value=100_000),
    "width more giant": put("config", "model", "d_model", value=GIANT),
    "width huge": put("config", "model", "d_model", value=10**30),
    "width nan": put("config", "model", "d_model", value=float("nan")),
    "layers giant": put("config", "model", "encoder", "num_layers", value=GIANT),
    "layers many": put("config", "model", "encoder", "num_layers", value=200),
    "feed-forward giant": put("config", "model", "encoder", "dim_feedforward", value=GIANT),
    "kernel giant": put("config", "model", "encoder", "kernel_size", value=GIANT - 1),
    "embedding giant": put("config", "model", "embedding_dim", value=GIANT),
    "pooling giant": put("config", "model", "pooling_width", value=GIANT),
    "centers giant": put("config", "model", "classifier", value={"kind": "cosine", "sub_centers": GIANT}),
    "attention giant": put("config", "model", "pooling", value={"kind": "self_attentive", "dim_attention": GIANT}),
    "another encoder": put("config", "model", "encoder", value={"kind": "transformer"}),
    "no encoder": drop("config", "model", "encoder"),
    "config none": put("config", value=None),
    "config a list": put("config", value=[1]),
    "config deep": put("config", value=deep(200)),
    "config with a setting more": put("config", "more", value=1),
    "config with numbers for names": put("config", value={1: 2}),
    "config with a tensor": put("config", "seed", value=torch.ones(3, 3)),
    "bands giant": put("features", "n_mels", value=GIANT),
    "bands other": put("features", "n_mels", value=9),
    "rate nan": put("features", "sample_rate", value=float("nan")),
    "features a list": put("features", value=[]),
    "optimizers none": put("optimizers", value=None),
    "optimizers a mapping": put("optimizers", value={}),
    "optimizers numbers": put("optimizers", value=[1, 2]),
    "progress a list": put("progress", value=[]),
    "progress text": put("progress", "loss", value="low"),
    "version a number": put("code_version", value=5),
    "utterances a list": put("utterances", value=[]),
    "utterances half": drop("utterances", "valid"),
    "utterances of another type": put("utterances", "train", value=torch.ones(3)),
    "utterances in a square": put("utterances", "train", value=torch.ones(3, 3, dtype=torch.int64)),
    "digest a number": put("utterances", "digest", value=5),
    "format a list": put("format", value=[1]),
    "format none": put("format", value=None),
    "a former format": put("format", value="speakerid checkpoint 5"),
}  # fmt: skip
BAD_TO_RESUME: dict[str, Mutation] = {
    "no optimizers": put("optimizers", value=[]),
    "one optimizer": lambda c: c["optimizers"].pop(),
    "no state": drop("optimizers", 0, "state"),
    "no groups": drop("optimizers", 0, "param_groups"),
    "state a list": put("optimizers", 0, "state", value=[1]),
    "state of text": put("optimizers", 0, "state", value={0: "x"}),
    "state of an unknown parameter": put("optimizers", 0, "state", value={"x": {}}),
    "state without its names": put("optimizers", 0, "state", 0, value={"other": torch.ones(1)}),
    "momentum of another shape": put("optimizers", 0, "state", 0, "momentum", value=torch.ones(3)),
    "momentum giant": lambda c: c["optimizers"][0]["state"][0].update(momentum=sparse(GIANT, GIANT)),
    "momentum nan": lambda c: c["optimizers"][0]["state"][0]["momentum"].fill_(float("nan")),
    "rate text": put("optimizers", 0, "param_groups", 0, "lr", value="fast"),
    "groups numbers": put("optimizers", 0, "param_groups", value=[1]),
    "parameters fewer": put("optimizers", 0, "param_groups", 0, "params", value=[0]),
    "parameters text": put("optimizers", 0, "param_groups", 0, "params", value="x"),
    "progress without a sum": drop("progress", "loss"),
    "progress without a window": drop("progress", "window_loss"),
}  # fmt: skip
HARMLESS: dict[str, Mutation] = {
    "a field more": put("more", value=deep(200)),
    "settings of the optimizer": put("optimizers", 0, "param_groups", 0, "weight_decay", value="x"),
    "half precision": in_weights(lambda w: w.half()),
}  # fmt: skip


def mutated(run: Path, mutation: Mutation) -> None:
    """Change every checkpoint of a run."""
    for path in [*run.rglob("*.pt")]:
        content = torch.load(path)
        mutation(content)
        path.unlink()
        torch.save(content, path)


@pytest.mark.parametrize("mutation", BAD.values(), ids=BAD)
def test_it_is_refused_in_one_line(mutation: Mutation, stopped: Path, tmp_path: Path) -> None:
    content = torch.load(stopped / "last.pt")
    mutation(content)
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError) as refused:
        Checkpoint.load(tmp_path / "x.pt").build_model()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 2_000


@pytest.mark.parametrize("mutation", BAD_TO_RESUME.values(), ids=BAD_TO_RESUME)
def test_it_is_not_resumed(mutation: Mutation, stopped: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    mutated(run, mutation)
    config = Checkpoint.load(stopped / "last.pt").config.model_copy(update={"run_dir": run})
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    with pytest.raises(UserError, match=r"^[^\n]+$"):
        train(config, resume=True, style="silent")
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before


@pytest.mark.parametrize("mutation", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_nothing_is_read(mutation: Mutation, stopped: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    mutated(run, mutation)
    config = Checkpoint.load(stopped / "last.pt").config.model_copy(update={"run_dir": run})
    assert train(config, resume=True, style="silent").best_accuracy is not None


COMMANDS = ["infer", "evaluate", "export", "average", "--resume", "init_from"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["speakers a number", "weights nan", "width giant", "average numbered"])
def test_every_command_reads_checkpoints_alike(
    command: str, name: str, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    mutated(run, BAD[name])
    sound = Checkpoint.load(stopped / "last.pt").config
    corpus, other = (
        sound.data.root,
        sound.model_copy(update={"run_dir": tmp_path / "other", "init_from": run / "last.pt"}),
    )
    arguments = {
        "infer": ["infer", "--checkpoint", run / "last.pt", "--data", corpus, "--output", tmp_path / "out.csv"],
        "evaluate": ["evaluate", "--checkpoint", run / "last.pt", "--data", corpus],
        "export": ["export", run / "last.pt", tmp_path / "b.safetensors", "--data", corpus],
        "average": ["average", run],
        "--resume": ["train", "--config", write_config(tmp_path / "a.yaml", sound), f"run_dir={run}", "--resume"],
        "init_from": ["train", "--config", write_config(tmp_path / "b.yaml", other)],
    }[command]
    assert answer(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in error


LIMITED = """
import resource, sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from training.test_hostile_checkpoint import BAD
from speakerid.base.errors import UserError
from speakerid.training.checkpoint import Checkpoint
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30),) * 2)
folder = Path(sys.argv[1])
for name, mutation in BAD.items():
    if "giant" in name or "many" in name or "repeated" in name:
        content = torch.load(folder / "last.pt")
        mutation(content)
        torch.save(content, folder / "x.pt")
        try:
            Checkpoint.load(folder / "x.pt").build_model()
        except UserError:
            continue
        raise SystemExit(name)
"""


def test_giants_are_refused_within_a_gigabyte(stopped: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    tests = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", LIMITED, str(run), str(tests)], check=True)

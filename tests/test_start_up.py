"""What a process imports before its answer: the packages that take long are left to what needs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import small_config, write_config, write_easy_corpus
from recognition.bundles import Trained
from small_models import ENCODERS

HEAVY = {"torch", "numpy", "scipy", "pydantic", "soundfile", "av", "matplotlib", "yaml", "safetensors", "tqdm"}
SLOW = {"torch._dynamo", "sympy", "tensorboard"}
"""Parts of PyTorch, each of which takes about as long as PyTorch itself, and TensorBoard."""


def imported(code: str, *arguments: object) -> set[str]:
    """Modules that a new process has imported after running some code."""
    end = "import sys; print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", f"try:\n    {code}\nfinally:\n    {end}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import speakerid", "from speakerid.cli import build_parser; build_parser()"])
def test_imports_of_the_package_are_light(code: str) -> None:
    assert not HEAVY & imported(code)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["identify", "--help"], ["identify", "--tops", "3"]])
def test_help_and_errors_in_options_need_no_heavy_import(arguments: list[str]) -> None:
    code = "from speakerid.cli import run; run(sys.argv[1:])"
    found = imported(f"import sys; {code}", *arguments)
    assert "speakerid.cli" in found
    assert not HEAVY & found


def test_an_answer_needs_no_compiler_of_pytorch(trained: Trained) -> None:
    code = "import sys; from speakerid.cli import run; run(['identify', *sys.argv[1:]])"
    found = imported(code, trained.path, trained.clips("demo0000")[0])
    assert "torch" in found
    assert not (SLOW | {"yaml", "matplotlib", "scipy.optimize", "speakerid.training.checkpoint"}) & found


def test_a_model_of_any_kind_is_built_on_the_meta_device_without_it() -> None:
    """This is how bundles and checkpoints are checked."""
    code = (
        "import sys, torch; from speakerid.config import ModelConfig, parse; "
        "from speakerid.recognition.embedder import Embedder; torch.device('meta').__enter__(); "
        f"[Embedder(parse(ModelConfig, {{'d_model': 8, 'encoder': encoder, 'classifier': 'cosine'}}, ''), 5) "
        f"for encoder in {list(ENCODERS.values())}]; print('built')"
    )
    found = imported(code)
    assert "speakerid.recognition.embedder" in found
    assert not SLOW & found


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_begins_without_it(optimizer: str, tmp_path: Path) -> None:
    """Nothing is imported before the first step that only its log needs."""
    corpus = write_easy_corpus(tmp_path / "corpus")
    config = write_config(tmp_path / "config.yaml", small_config(corpus, tmp_path / "run", optimizer=optimizer))
    code = (
        "import sys; from speakerid.cli import run; from speakerid.training.step import TrainingStep; "
        "step = TrainingStep.__call__; TrainingStep.__call__ = lambda *a: (step(*a), sys.exit(3)); "
        "run(['train', '--config', sys.argv[1]])"
    )
    found = imported(code, config)
    assert "speakerid.training.step" in found
    assert not SLOW & found
    assert (tmp_path / "run" / "config.yaml").exists()

"""Layers of the package: imports point down, and few modules need torchaudio."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "speakerid"
FLOORS = {
    "printing": 0, "errors": 0, "extras": 0, "files": 0, "bars": 0, "memory": 0, "pages": 0, "yaml_reader": 0,
    "tensor_claims": 0, "plain_data": 0, "settings": 0, "model_config": 0, "train_config": 0, "config": 0,
    "distributed": 0, "draws": 0, "lazy": 0, "shipped_configs": 0,
    "layers": 1, "audio": 1, "models": 2, "corpus": 2, "batches": 3, "nn": 3, "evaluation": 4, "metrics": 5,
    "training": 5, "recognition": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)


def room(module: str) -> str:
    return module.split(".")[1]


def own(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_down(path: Path) -> None:
    for module in imports(path):
        if module.startswith("speakerid."):
            assert room(module) == own(path) or FLOORS[room(module)] <= FLOORS[own(path)], module
            if FLOORS[room(module)] == FLOORS[own(path)] > 0:
                assert room(module) == own(path), f"{module} is next door"


def test_torchaudio_computes_in_one_module_and_downloads_in_another() -> None:
    importers = [path.relative_to(SOURCE).as_posix() for path in MODULES if any(
        module.split(".")[0] == "torchaudio" for module in imports(path)
    )]  # fmt: skip
    assert importers == ["audio/download.py", "audio/log_mel.py"]


def test_training_and_inference_do_not_need_torchaudio() -> None:
    modules = ", ".join(f"speakerid.{name}" for name in ("cli", "training.run", "recognition.submission",
                                                         "recognition.evaluation"))  # fmt: skip
    blocked = f"import sys; sys.modules['torchaudio'] = sys.modules['soundfile'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", blocked], check=True)


def test_layers_import_only_torch() -> None:
    for path in (SOURCE / "layers").glob("*.py"):
        foreign = {module.split(".")[0] for module in imports(path)} - {"torch", "speakerid", "math", "collections"}
        assert not foreign, f"{path.name}: {foreign}"

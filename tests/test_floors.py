"""Layers of the package: imports point down, and only downloads need torchaudio."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "speakerid"
FLOORS = {
    "base": 0, "annotations": 1, "config": 1, "metrics": 1, "nn": 2, "audio": 2, "corpus": 3, "demo": 4,
    "preparation": 4, "training": 5,
    "recognition": 6, "deployment": 7, "evaluation": 7, "web": 7, "cli": 8, "errors": 9, "__main__": 9,
}  # fmt: skip
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)


def name_of(path: Path) -> str:
    return ".".join(("speakerid", *path.relative_to(SOURCE).with_suffix("").parts))


def imported_modules(path: Path) -> Iterator[str]:
    """Modules that a module imports, also where it is written `from package import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names))


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


def test_torchaudio_is_named_for_downloads_alone() -> None:
    """Its binary does not load beside every build of torch."""
    strings = re.compile(r"""import torchaudio|from torchaudio|["']torchaudio(?!=)""")
    importers = [path.relative_to(SOURCE).as_posix() for path in MODULES if strings.search(path.read_text())]
    assert importers == ["preparation/download.py"]


def test_training_and_inference_do_not_need_torchaudio() -> None:
    modules = ", ".join(f"speakerid.{name}" for name in ("cli", "training.run", "evaluation.submission",
                                                         "evaluation.checkpoints"))  # fmt: skip
    blocked = f"import sys; sys.modules['torchaudio'] = sys.modules['soundfile'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", blocked], check=True)


def test_no_module_needs_posix_to_be_imported() -> None:
    code = (
        "import importlib, sys\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'tty', 'pty', 'syslog'): sys.modules[name] = None\n"
        "from speakerid.base.locks import file_lock\n"
        "for name in sys.argv[1:]: importlib.import_module(name)"
    )
    modules = [name_of(path) for path in MODULES if own(path) not in ("web", "__main__")]  # Gradio needs more
    subprocess.run([sys.executable, "-c", code, *modules], check=True)


def test_layers_import_only_torch() -> None:
    for path in (SOURCE / "nn").glob("*.py"):
        allowed = {"torch", "speakerid", "math", "collections", "typing"}
        foreign = {module.split(".")[0] for module in imports(path)} - allowed
        assert not foreign, f"{path.name}: {foreign}"


def test_modules_import_one_another_in_one_direction() -> None:
    """No circles, not even for types: each can be read before those that use it."""
    below = {name_of(path): set(imported_modules(path)) for path in MODULES}
    while free := [name for name, modules in below.items() if not modules & below.keys()]:
        for name in free:
            del below[name]
    assert not below, "modules in circles, and those that need them: " + ", ".join(sorted(below))

"""The public names of `speakerid`, `speakerid.nn` and `speakerid.metrics`."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import speakerid
import speakerid.metrics
import speakerid.nn

SOURCE = Path(__file__).resolve().parents[1] / "src" / "speakerid"
MODULES = [speakerid, speakerid.nn, speakerid.metrics]


def imported(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Module and name behind every name that type checkers see imported in a module."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module not in ("typing", "speakerid.base.lazy")
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_public_names_are_what_type_checkers_see(module: ModuleType) -> None:
    sources = imported(module)
    assert sorted(sources) == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    for name, (source, attribute) in sources.items():
        assert getattr(module, name) is getattr(importlib.import_module(source), attribute), name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_public_names_are_documented(module: ModuleType) -> None:
    for name in module.__all__:
        assert getattr(module, name).__doc__, name


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_an_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Recogniser'"):
        _ = module.Recogniser


@pytest.mark.parametrize(
    "statement", ["import speakerid", "from speakerid.metrics import min_dcf", "from speakerid import UserError"]
)
def test_torch_is_imported_only_where_it_is_needed(statement: str) -> None:
    code = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_submodules_are_attributes() -> None:
    code = "import speakerid; speakerid.nn.ConformerBlock, speakerid.metrics.min_dcf, speakerid.train"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_is_marked_as_typed() -> None:
    assert (SOURCE / "py.typed").exists()

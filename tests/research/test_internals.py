"""The packages that studies use besides the public names are listed in one place."""

import ast
import re
from pathlib import Path

RESEARCH = Path(__file__).resolve().parents[2] / "scripts" / "research"
PUBLIC = {"speakerid", "speakerid.nn", "speakerid.metrics"}


def test_the_readme_lists_the_internals() -> None:
    modules = {
        node.module
        for path in RESEARCH.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    used = {".".join(module.split(".")[:2]) for module in modules if module.split(".")[0] == "speakerid"}
    listed = re.findall(r"`(speakerid(?:\.[a-z_]+)*)`", (RESEARCH / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(listed) - PUBLIC) == sorted(used - PUBLIC)

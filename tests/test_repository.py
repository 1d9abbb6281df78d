"""Checks of the repository: every config loads, texts are plain English, and requirements agree."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from speakerid.base.extras import EXTRAS
from speakerid.config import DEMO_ROOT, load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SOURCE = ROOT / "src" / "speakerid"
PLAIN_PACKAGES = sorted({path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")})
PLAIN_FOLDERS = [
    *(SOURCE / name for name in PLAIN_PACKAGES),
    *sorted({path.parent for path in (ROOT / "scripts").rglob("*.py")}),
]
STOCK_PHRASES = re.compile(
    r"^\s*Of |\bLetters:|\b(whoever|nobody|everybody|somebody|anybody|likewise|so many|so often|told|heard)\b"
    r"|\b(anew|meanwhile|mend|passed over|flatters?|per cent)\b"
    r"|(?<!there )\b(is|are) no\b(?! (later|longer|more))|\bgo(es)? on\b|\bat work\b|\bby itself\b|\bin vain\b"
    r"|\bof no (meaning|use)\b|\bgiven back\b|\bstands? (at|in)\b|\bbehind one another\b",
    re.MULTILINE,
)
"""Phrases that read as translated."""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_load(path: Path) -> None:
    config = load_config(path)
    assert config.run_dir == Path("runs") / path.stem
    assert config.data.root == DEMO_ROOT


def test_task_configs_have_the_settings_of_the_report() -> None:
    for name in ("task1_transformer", "task2_conformer"):
        train = load_config(ROOT / "configs" / f"{name}.yaml").train
        assert (train.total_steps, train.warmup_steps, train.valid_steps) == (70_000, 1_000, 2_000)
        assert (train.batch_size, train.crop_frames, train.learning_rate) == (32, 128, 1e-3)


def test_torch_has_no_upper_bound_and_torchaudio_is_pinned() -> None:
    """torchaudio 2.11.0 loads beside CUDA builds of torch 2.11 and later; 2.11.1 not beside torch 2.11.0."""
    content = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = re.findall(r'^  "((?:torch|torchaudio)[^a-z"]+)"', content, re.MULTILINE)
    assert pinned == ["torch>=2.11", "torchaudio==2.11.0"]


def test_extras_are_installed_from_the_checkout() -> None:
    """The distribution `speakerid` on PyPI is another author's."""
    wrong = re.compile(r"pip install [^\n`]*\bspeakerid\b|(?<![\w-])speakerid\[[a-z]")
    own = Path(__file__).resolve()
    files = [
        path
        for folder in ("configs", "data", "docs", "scripts", "src", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".md", ".py", ".yaml", ".sh") and path != own
    ]
    for path in [*files, ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]:
        found = wrong.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found}"


def test_messages_name_the_requirements_of_the_extras() -> None:
    content = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (section,) = re.findall(r"^\[project\.optional-dependencies\]\n(.*?)^\[", content, re.DOTALL | re.MULTILINE)
    listed = {
        name: re.findall(r'^ *"([^"]+)"|(?<=\[)"([^"]+)"', body, re.MULTILINE)
        for name, body in re.findall(r"^(\w+) = (\[.*?\])(?=  #|$)", section, re.DOTALL | re.MULTILINE)
    }
    for extra, packages in EXTRAS.items():
        assert [first or second for first, second in listed[extra]] == packages, extra


def test_the_distribution_has_a_name_of_its_own() -> None:
    content = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (name,) = re.findall(r'^name = "(.*)"', content, re.MULTILINE)
    assert name != "speakerid"
    assert f'"{name}[av,listen,onnx,runtime,serve,train]"' in content
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every comment and string, docstrings included."""
    content = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


@pytest.mark.parametrize("folder", PLAIN_FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_docstrings_comments_and_messages_are_plain_english(folder: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {phrase[0].strip()}"
        for path in sorted(folder.glob("*.py"))
        for line, text in prose(path)
        for phrase in STOCK_PHRASES.finditer(text)
    ]
    assert not found, "\n".join(found)

"""Every command, YAML file and Python snippet of README and docs is valid, links exist, and texts are plain English."""

import argparse
import ast
import importlib
import io
import json
import re
import runpy
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from documents import PAGES, ROOT, blocks, prose_of
from speakerid.cli import COMMANDS, build_parser
from speakerid.cli.train import _file_and_overrides
from speakerid.config import FeatureConfig, load_config
from speakerid.config.shipped import find_config
from speakerid.corpus.check import open_corpus
from test_repository import CONFIGS, STOCK_PHRASES

BLOCKS = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in BLOCKS if block.language in ("", "bash", "console")]
OUTPUT = ("text", "csv", "json", "rttm")
"""Languages of blocks that show a command's output or a file."""
INLINE = re.compile(
    r"`((?:python scripts/[\w/]+\.py|speakerid [a-z]+) [^`…]*)`|^# +((?:python scripts/|speakerid )[^\n]*)", re.M
)
TEXTS = [*PAGES, *CONFIGS, *(path for path in (ROOT / "src" / "speakerid" / "cli").glob("*.py"))]
HELP = re.compile(r"^  (speakerid [a-z][^\n`]*)", re.MULTILINE)
COMMAND_LINES = sorted(
    {command for block in SHELL for command in block.commands}
    | {(a or b).replace("\n", " ") for path in TEXTS for a, b in INLINE.findall(path.read_text(encoding="utf-8"))}
    | {command for path in TEXTS if path.suffix == ".py" for command in HELP.findall(path.read_text(encoding="utf-8"))}
)
HARMLESS = ("cd", "cp", "git", "ls", "mkdir", "mv", "npm", "pip", "pre-commit")
"""Programs that are not part of the package; their arguments are not checked."""


PLAIN = PAGES


class Parsed(Exception):
    """Raised in place of running a script once its arguments are parsed."""


def words(command: str) -> list[str]:
    """Words of a command without its comment, environment variables and launcher."""
    found = shlex.split(command, comments=True)
    while found and re.fullmatch(r"[A-Z_]+=\S*", found[0]):
        found.pop(0)
    if found and found[0] == "torchrun":
        script = next((index for index, word in enumerate(found) if word.endswith(".py")), None)
        found = [] if script is None else ["python", *found[script:]]
    return found


def check_package_command(name: str, arguments: Sequence[str]) -> None:
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    options = commands.choices[name].parse_args(list(arguments))
    if name == "train":
        path, overrides = _file_and_overrides(options)
        if path.exists() or not path.suffix:
            load_config(find_config(path), overrides)


def check_script(script: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script up to the point where its arguments are parsed."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, *given: object) -> None:
        parse(self, *given)  # type: ignore[call-overload]
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(Parsed):
        runpy.run_path(script, run_name="__main__")


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_documented_commands_parse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = words(command)
    if not found:
        return
    program, *arguments = found
    match program, arguments:
        case "speakerid", [name, *rest] if name in COMMANDS:
            check_package_command(name, rest)
        case "speakerid", ["--version" | "--help"]:
            pass
        case "python", [script, *rest] if script.endswith(".py"):
            name = Path(script).stem
            if name in COMMANDS and Path(script).parent == Path("scripts"):
                assert Path(script).exists()
                check_package_command(name, rest)
            else:
                check_script(script, rest, monkeypatch)
        case "python" | ".venv/bin/python", ["-m", "timeit" | "http.server" | "pip" | "venv" | "mkdocs" | "pytest", *_]:
            pass
        case "make", [target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        case "pytest", [*rest]:
            missing = [word for word in rest if word.startswith("tests") and not Path(word.split("::")[0]).exists()]
            assert not missing
        case _:
            assert program in HARMLESS, f"unknown program {program}: add it to HARMLESS or check its arguments"


def test_pages_have_commands_that_a_shell_accepts() -> None:
    assert len(COMMAND_LINES) > 40
    for block in SHELL:
        script = "\n".join(block.commands)
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert checked.returncode == 0, f"{block.page}:{block.line}: {checked.stderr}"


def test_blocks_have_a_known_language() -> None:
    known = ("", "bash", "console", "yaml", "python", *OUTPUT)
    unknown = [f"{block.page}:{block.line}: {block.language}" for block in BLOCKS if block.language not in known]
    assert not unknown


def test_documented_yaml_loads() -> None:
    for block in BLOCKS:
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.code), dict), f"{block.page}:{block.line}"


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.language == "python"}))
def test_documented_python_compiles_and_imports_what_exists(page: str) -> None:
    for block in BLOCKS:
        if (block.page, block.language) != (page, "python"):
            continue
        for node in ast.walk(ast.parse(block.code, f"{page}:{block.line}")):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "speakerid":
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page}:{block.line}: {node.module}.{alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_exist(page: Path) -> None:
    generated = {"settings.md", "commands.md"}
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose_of(page)):
        assert target in generated or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PLAIN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_plain_english(page: Path) -> None:
    text = prose_of(page)
    found = [f"{text.count(chr(10), 0, at.start()) + 1}: {at[0].strip()}" for at in STOCK_PHRASES.finditer(text)]
    assert not found, f"{page.name}: " + ", ".join(found)


def test_documented_code_turns_shards_into_a_store(tmp_path: Path) -> None:
    (code,) = (block.code for block in blocks(ROOT / "docs" / "files.md") if block.language == "python")
    rng = np.random.default_rng(0)
    frames = {f"u{n}": rng.normal(size=(5 + n, 3)).astype(np.float16) for n in range(6)}
    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as archive:
            for n in range(3 * shard, 3 * shard + 3):
                values = io.BytesIO()
                np.save(values, frames[f"u{n}"])
                metadata = {"speaker": "ab"[n % 2], "session": f"day {n // 2}", "length": 5 + n}
                for name, content in ((f"u{n}.json", json.dumps(metadata).encode()), (f"u{n}.npy", values.getvalue())):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    names: dict[str, object] = {}
    exec(code, names)
    shards = [tmp_path / "0.tar", tmp_path / "1.tar"]
    names["store_of_shards"](shards, tmp_path / "corpus", FeatureConfig(n_mels=3))  # type: ignore[operator]
    corpus, store = open_corpus(tmp_path / "corpus")
    assert corpus.labelled.speakers.tolist() == [0, 1] * 3
    assert corpus.labelled[5].session == "day 2"
    for index, expected in enumerate(frames.values()):
        assert np.array_equal(store.utterance(index).numpy(), expected)


def test_documented_code_writes_a_conversation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for speaker in ("recordings/demo0000", "recordings/demo0005", "recordings/demo0012", "others/demo0019"):
        Path(speaker, "session11").mkdir(parents=True)
        for clip in range(4):
            soundfile.write(f"{speaker}/session11/{clip:02d}.wav", np.full(1_000, 0.1), 16_000)
    (code,) = (block.code for block in blocks(ROOT / "docs" / "tutorial.md") if block.language == "python")
    exec(code, {})
    assert soundfile.info("meeting.wav").frames == 15 * (1_000 + 8_000)

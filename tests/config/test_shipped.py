"""Settings files by name, in a checkout and in a wheel."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from speakerid.base.errors import UserError
from speakerid.config import load_config
from speakerid.config.shipped import find_config, shipped_configs

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
SETUPTOOLS = int(version("setuptools").split(".")[0])


def test_every_config_of_the_checkout_has_a_name() -> None:
    assert list(shipped_configs()) == NAMES
    assert find_config("few_minutes") == ROOT / "configs" / "few_minutes.yaml"
    assert load_config("few_minutes", ["seed=3"]) == load_config(ROOT / "configs" / "few_minutes.yaml", ["seed=3"])


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # a folder is not a file
    assert find_config("demo") == ROOT / "configs" / "demo.yaml"
    (tmp_path / "small").write_text("run_dir: mine")
    assert find_config("small") == Path("small")
    assert find_config("folder/small") == Path("folder/small")
    assert find_config("small.yaml") == Path("small.yaml")


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(UserError) as error:
        find_config("few_minuets")
    assert str(error.value) == (
        f"few_minuets: no such file; expected one, or a name of {', '.join(NAMES)}; did you mean few_minutes?"
    )


@pytest.mark.nightly
@pytest.mark.skipif(SETUPTOOLS < 77, reason="setuptools 77 is the first to read this pyproject.toml")
def test_a_wheel_holds_the_configs_and_the_mark_of_types(tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", tmp_path, source]
    subprocess.run([sys.executable, "-m", "pip", *map(str, build)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "speakerid" / "py.typed").exists()
    listed = subprocess.run(
        [sys.executable, "-m", "speakerid", "configs"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in listed.stdout.splitlines()] == NAMES
    path = subprocess.run(
        [sys.executable, "-m", "speakerid", "configs", "--path", "few_minutes"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(path.stdout.strip()) == site / "speakerid" / "configs" / "few_minutes.yaml"

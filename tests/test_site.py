"""The documentation site: it builds without warnings, asks no other host for anything, and lists every name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import speakerid
import speakerid.metrics
import speakerid.nn
from site_pages.commands_page import commands_page
from site_pages.floors_picture import draw
from site_pages.settings_page import dotted_names, settings_page
from speakerid.cli import COMMANDS
from speakerid.config import FeatureConfig
from test_floors import FLOORS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_asks_no_other_host_for_anything(site: Path) -> None:
    loaded = re.compile(
        r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>|@import|url\(["']?http"""
    )
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        found = [tag for tag in loaded.findall(page.read_text(encoding="utf-8")) if 'rel="canonical"' not in tag]
        assert not found, f"{page.name}: {found}"


def test_public_names_are_in_the_reference(site: Path) -> None:
    for module, page in ((speakerid, "api"), (speakerid.nn, "nn"), (speakerid.metrics, "metrics")):
        text = (site / f"{page}.html").read_text(encoding="utf-8")
        elsewhere = {"Config", "FeatureConfig", "SpeakerClassifier", "metrics", "nn"} if page == "api" else set()
        missing = [name for name in module.__all__ if f'id="{module.__name__}.{name}"' not in text]
        assert set(missing) == elsewhere


def test_every_setting_is_in_the_reference_with_its_meaning() -> None:
    page = settings_page()
    rows = dict(re.findall(r"^\| `([\w.]+)` \|.*\| (.*) \|$", page, re.MULTILINE))
    expected = {name for name in dotted_names() if not name.endswith(".kind")} | set(FeatureConfig.model_fields)
    assert rows.keys() == expected
    assert [name for name, meaning in rows.items() if not meaning] == []


def test_every_command_is_in_the_reference() -> None:
    headings = re.findall(r"^### speakerid (\w+)$", commands_page(), re.MULTILINE)
    assert headings == list(COMMANDS)


def test_the_picture_of_the_floors_is_that_of_the_table() -> None:
    design = (DOCS / "design.md").read_text(encoding="utf-8")
    remedy = "run python scripts/site_pages/floors_picture.py"
    assert (DOCS / "floors.svg").read_text(encoding="utf-8") == draw(design), remedy
    rows = re.findall(r"^\| (\d) \| `(\w+)/` \|", design, re.MULTILINE)
    assert {name: int(floor) for floor, name in rows} == {name: floor for name, floor in FLOORS.items() if floor < 9}, (
        "the table of floors in docs/design.md"
    )

"""What is shipped works as it stands: every config loads, every command of the README is one."""

import re
import shlex
from pathlib import Path

import pytest

from speakerid.cli import build_parser
from speakerid.config import DEMO_ROOT, load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "data" / "README.md"]
COMMANDS = re.findall(
    r"python scripts/(?:train|infer|prepare|evaluate|check|synthesise)\.py [^\n`]*",
    "\n".join(page.read_text(encoding="utf-8") for page in PAGES) + "\n".join(c.read_text() for c in CONFIGS),
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_load(path: Path) -> None:
    config = load_config(path)
    assert config.run_dir == Path("runs") / path.stem
    assert config.data.root == DEMO_ROOT


def test_the_task_configs_are_the_report_s() -> None:
    for name in ("task1_transformer", "task2_conformer"):
        train = load_config(ROOT / "configs" / f"{name}.yaml").train
        assert (train.total_steps, train.warmup_steps, train.valid_steps) == (70_000, 1_000, 2_000)
        assert (train.batch_size, train.crop_frames, train.learning_rate) == (32, 128, 1e-3)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_documented_commands_parse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    _, script, *arguments = shlex.split(command, comments=True)
    options = build_parser().parse_args([Path(script).stem, *arguments])
    if options.command == "train" and options.config.exists():
        load_config(options.config, options.overrides)


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from speakerid.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from recognition.bundles import Trained


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Models of a test are so small that a second thread only waits for the first."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def draw_curves() -> Iterator[Callable[[RunDirectory], None]]:
    """Draws the curves of a run; unless asked to, no run does, for it takes longer than all the rest of a small one."""
    draw = RunDirectory.draw_curves
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "draw_curves", lambda self: None)
        yield draw


@pytest.fixture
def curves(draw_curves: Callable[[RunDirectory], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test draw their curves."""
    monkeypatch.setattr(RunDirectory, "draw_curves", draw_curves)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small bundle with everything it was made of."""
    from recognition.bundles import train_and_export

    return train_and_export(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def bundle(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the small bundle, to be changed."""
    return Path(shutil.copy(trained.path, tmp_path / "speaker.safetensors"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files of this process go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder

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
    """Use one thread, since the models of the tests are too small for a second one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def draw_curves() -> Iterator[Callable[[RunDirectory], None]]:
    """Turn off the curves of runs, which take longer than the rest of a small run; yields the real function."""
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
    """A small bundle and everything it was made from."""
    from recognition.bundles import train_and_export

    return train_and_export(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def bundle(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the small bundle, to be changed."""
    return Path(shutil.copy(trained.path, tmp_path / "speaker.safetensors"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of temporary files of this process."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder

"""The folder that a corpus is written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.base.files import remove_partials
from speakerid.base.locks import file_lock
from speakerid.config import FeatureConfig, parse, read_yaml
from speakerid.corpus import hw4
from speakerid.corpus.utterances import STAGE
from speakerid.preparation import recordings_table


def check_target(out: Path, features: FeatureConfig) -> None:
    """Raise UserError if a folder holds something else than a corpus, or a corpus with other features."""
    if out.exists() and not (out / STAGE).is_dir() and not recordings_table.has_table(out):
        raise UserError(f"{out}: already exists; choose another folder or delete this one first")
    existing = out / hw4.FEATURES
    if existing.exists():
        differences = parse(FeatureConfig, read_yaml(existing), existing).differences(features)
        changed = [f"{name} {before}, asked for {now}" for name, (before, now) in differences.items()]
        if changed:
            raise UserError(f"{existing}: found {'; '.join(changed)}; choose another folder or delete {out} first")


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """Lock a corpus against other preparations while the block runs, and yield the folder of its stage.

    Raises:
        UserError: another process prepares this corpus, or the folder cannot be written.
    """
    stage = out / STAGE
    try:
        stage.mkdir(parents=True, exist_ok=True)
        with file_lock(stage / "lock"):
            for folder in (out, stage):
                remove_partials(folder)
            yield stage
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written: {error.strerror or error}; fix this and run the same command again to continue"
        ) from error

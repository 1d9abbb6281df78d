"""Cross-validation over sessions: each model is validated on sessions that it was not trained on.

With `data.folds` a run first trains a model for each fold, below `folds/` in its folder, and then the final model, on
all labeled utterances. The validation figures of the final model are those of the folds at the same step.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.corpus.split import Split, folds, split
from speakerid.corpus.utterances import UNKNOWN, Utterances
from speakerid.training.metrics_log import METRICS, read_lines

FOLDER = "folds"
LEAST_LEFT_OUT = 3
"""A fold leaves out at most one speaker in this many, so that enough are left to train on."""
LARGEST = 5000
"""Largest number of labeled utterances for which folds are used; with more, a held-out part is large enough."""


def number_of_folds(config: Config, utterances: Utterances) -> int:
    """Number of folds of a run on these labeled utterances; 0 if a part of them is held out instead."""
    return len(_folds(config, utterances))


def parts_of(config: Config, utterances: Utterances, fold: int | None = None) -> Split:
    """Split labeled utterances into training and validation.

    Args:
        config: settings of the run.
        utterances: labeled utterances.
        fold: index of the fold; None for the final model, which is trained on everything if there are folds.
    """
    parts = _folds(config, utterances)
    if not parts:
        return split(utterances, config.data.split, config.data.valid_fraction, config.seed)
    if fold is not None:
        left_out = stranger_folds(config, utterances)[utterances.origins] == fold
        train, valid = (np.asarray(rows)[~left_out[rows]].tolist() for rows in (parts[fold].train, parts[fold].valid))
        return Split(train, valid, parts[fold].how)
    return Split(list(range(len(utterances))), [], parts[0].how)


def stranger_folds(config: Config, utterances: Utterances) -> NDArray[np.int64]:
    """(N,) index of the fold that leaves out all utterances of an utterance's speaker; UNKNOWN if no fold does.

    To the model of that fold the speaker is a stranger, so thresholds can be fitted on it. With three folds or more,
    every speaker is left out once, in turn; with two folds, two speakers of three are. With fewer than two speakers per
    fold too few would be left to train on, and no speaker is left out.
    """
    parts, rows = _folds(config, utterances), utterances.held_out_from
    count = len(parts)
    speakers, turns = np.unique(utterances.speakers[rows]), max(count, LEAST_LEFT_OUT)
    found = np.full(len(utterances), UNKNOWN)
    if count and len(speakers) >= 2 * turns:
        turn = np.searchsorted(speakers, utterances.speakers[rows]) % turns
        found[rows] = np.where(turn < count, turn, UNKNOWN)
    if any((found[part.valid] == number).all() for number, part in enumerate(parts)):  # nothing left to validate on
        found[:] = UNKNOWN
    return found


def _folds(config: Config, utterances: Utterances) -> list[Split]:
    """Splits of the folds, before strangers are removed; empty if a part is held out instead."""
    count = config.data.folds
    if not count or len(utterances.held_out_from) > LARGEST:
        return []
    return folds(utterances, count, config.data.split, config.seed)


def check_held_out(parts: Split, root: Path) -> None:
    """Check that the split has validation utterances; a model trained on everything has none.

    Raises:
        UserError: there are none; the message says what to evaluate on instead.
    """
    if not parts.valid:
        raise UserError(
            f"{root}: a run with data.folds trains on all labeled utterances, so none are left to validate on; its "
            f"{METRICS} has the figures of the folds, and `evaluate --part test` uses the test utterances"
        )


def fold_folders(run_dir: Path, count: int) -> list[Path]:
    """Folders of the models of a run's folds."""
    return [run_dir / FOLDER / str(number) for number in range(1, count + 1)]


def fold_figures(folders: Sequence[Path], step: int) -> dict[str, float]:
    """Validation figures at a step over all folds, in which each utterance counts once.

    Args:
        folders: folders of the folds, all of which have been validated at this step.
        step: steps done.

    Raises:
        UserError: a fold's log has no such validation, or the line is damaged.
    """
    figures = []
    for folder in folders:
        lines = [line.content for line in read_lines(folder / METRICS) if line.record and line.record.part == "valid"]
        here = [line for line in lines if line["step"] == step]
        if not here:
            raise UserError(
                f"{folder / METRICS}: the validation after step {step} is missing; delete {folder} and continue with "
                "--resume, which trains this fold again"
            )
        figures.append(here[-1])
    total = sum(line["utterances"] for line in figures)
    means = {
        name: sum(line[name] * line["utterances"] for line in figures) / total
        for name in ("accuracy", "macro_accuracy", "loss")
    }
    return {**means, "utterances": total}

"""Cross-validation over sessions: each model is validated on sessions that it was not trained on.

With `data.folds` a run first trains a model for each fold, below `folds/` in its folder, and then the final model, on
all labeled utterances. The validation figures of the final model are those of the folds at the same step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.config import Config
from speakerid.corpus.split import Split, folds, split
from speakerid.corpus.utterances import UNKNOWN, Utterances
from speakerid.training.metrics_log import METRICS, read_log

FOLDER = "folds"
LEAST_LEFT_OUT = 3
"""A fold leaves out at most one speaker in this many, so that enough are left to train on."""
LARGEST = 5000
"""Largest number of labeled utterances for which folds are used; with more, a held-out part is large enough."""


@dataclass(frozen=True, eq=False)
class RunSplit:
    """Split of a run's labeled utterances, for its final model and for the models of its folds.

    Attributes:
        final: utterances of the final model, which is trained on everything if there are folds.
        folds: utterances of the model of each fold; empty if a part is held out instead.
        held_out_by: (N,) index of the fold that holds out each utterance; UNKNOWN if none does.
        left_out_by: (N,) index of the fold that leaves out all utterances of an utterance's speaker; UNKNOWN if none
            does. To the model of that fold the speaker is a stranger, so thresholds can be fitted on it.
    """

    final: Split
    folds: tuple[Split, ...]
    held_out_by: NDArray[np.int64]
    left_out_by: NDArray[np.int64]

    @staticmethod
    def of(config: Config, utterances: Utterances) -> "RunSplit":
        """Split labeled utterances as the settings of a run say."""
        data, nowhere = config.data, np.full(len(utterances), UNKNOWN)
        is_small = len(utterances.held_out_from) <= LARGEST
        dealt = folds(utterances, data.folds, data.split, config.seed) if data.folds and is_small else []
        if not dealt:
            return RunSplit(split(utterances, data.split, data.valid_fraction, config.seed), (), nowhere, nowhere)
        left_out_by, held_out_by = _left_out_by(dealt, utterances), nowhere.copy()
        left_out = left_out_by[utterances.origins]
        parts: list[Split] = []
        for number, part in enumerate(dealt):
            train, valid = (np.asarray(rows)[left_out[rows] != number].tolist() for rows in (part.train, part.valid))
            parts.append(Split(train, valid, part.how))
            held_out_by[valid] = number
        return RunSplit(Split([*range(len(utterances))], [], dealt[0].how), tuple(parts), held_out_by, left_out_by)

    def of_model(self, fold: int | None) -> Split:
        """Utterances of the model of a fold, by its index, or of the final model (None)."""
        return self.final if fold is None else self.folds[fold]


def _left_out_by(dealt: Sequence[Split], utterances: Utterances) -> NDArray[np.int64]:
    """`RunSplit.left_out_by` of folds.

    With three folds or more, every speaker is left out once, in turn; with two folds, two speakers of three are. With
    fewer than two speakers per fold too few would be left to train on, and no speaker is left out.
    """
    rows, count = utterances.held_out_from, len(dealt)
    speakers, turns = np.unique(utterances.speakers[rows]), max(count, LEAST_LEFT_OUT)
    found = np.full(len(utterances), UNKNOWN)
    if len(speakers) >= 2 * turns:
        turn = np.searchsorted(speakers, utterances.speakers[rows]) % turns
        found[rows] = np.where(turn < count, turn, UNKNOWN)
    if any((found[part.valid] == number).all() for number, part in enumerate(dealt)):  # nothing left to validate on
        found[:] = UNKNOWN
    return found


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
        here = [record for record in read_log(folder).valid if record.step == step]
        if not here or None in (here[-1].macro_accuracy, here[-1].loss, here[-1].utterances):
            raise UserError(
                f"{folder / METRICS}: the validation after step {step} is missing; delete {folder} and continue with "
                "--resume, which trains this fold again"
            )
        figures.append(here[-1])
    weights = [record.utterances or 0 for record in figures]
    total = sum(weights)
    names = ("accuracy", "macro_accuracy", "loss")
    means = {
        name: sum(getattr(record, name) * weight for record, weight in zip(figures, weights, strict=True)) / total
        for name in names
    }
    return {**means, "utterances": total}

"""Evaluate checkpoints on utterances of known speakers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.config import Config
from speakerid.corpus.labelled import Labelled, chosen
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.evaluation.durations import Row, evaluate
from speakerid.training.batches import Crops
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import fold_folders, number_of_folds, parts_of
from speakerid.training.trained import (
    check_features,
    labelled_parts,
    load_ensemble,
    never_trained,
    open_for,
    split_labelled,
)


def evaluate_checkpoints(
    checkpoints: Sequence[StrPath],
    data: StrPath | None,
    part: Literal["valid", "test"],
    seconds: Sequence[float],
    device: torch.device,
    frames_per_batch: int | None = None,
    crops: Crops | None = None,
) -> list[Row]:
    """Accuracy at the given durations and on whole utterances, with the linear baseline's.

    Args:
        checkpoints: one checkpoint, or several of the same speakers, whose log-probabilities are averaged.
        data: folder of the corpus; by default the one that the first checkpoint was trained on.
        part: the validation split of the first checkpoint's run, or the corpus's test utterances. With folds, each
            validation utterance is evaluated by the model of the fold that held it out, and rows are means over folds.
        seconds: durations.
        device: device of the models.
        frames_per_batch: bound on the padded frames of a batch; by default the checkpoint's setting.
        crops: additional crops, see `speakerid.training.predict.predict_batches`.

    Raises:
        UserError: checkpoints and corpus do not belong together, or the test utterances have no answers.
    """
    loaded = load_ensemble(checkpoints)
    first = loaded[0]
    corpus, store = open_for(data, first.config, "labelled")
    check_features(checkpoints[0], first.features, corpus)
    if corpus.speakers != first.speakers:
        raise UserError(f"{corpus.root}: its speakers are not those of {checkpoints[0]}")
    rate = corpus.features.frames_per_second
    durations = [*(max(1, round(s * rate)) for s in seconds), None]
    frames_per_batch = frames_per_batch or first.config.data.frames_per_batch

    def rows(judges: Sequence[Checkpoint], train: Labelled, tested: Labelled) -> list[Row]:
        models = [checkpoint.build_model().to(device) for checkpoint in judges]
        return evaluate(models, train, tested, durations, frames_per_batch, rate, crops)

    if part == "test":
        tested = test_part(*open_for(data, first.config, "test"), loaded)
        return rows(loaded, split_labelled(corpus, store, parts_of(first.config, corpus.labelled))[0], tested)
    folders = fold_folders(Path(checkpoints[0]).parent, number_of_folds(first.config, corpus.labelled))
    if len(loaded) > 1 or not folders or not all((folder / "best.pt").exists() for folder in folders):
        return rows(loaded, *labelled_parts(corpus, store, loaded))
    folds = [Checkpoint.load(folder / "best.pt") for folder in folders]
    parts = [_of_fold(corpus, store, first.config, number, fold) for number, fold in enumerate(folds)]
    judged = [rows([fold], train, valid) for fold, (train, valid) in zip(folds, parts, strict=True)]
    return _mean_of(judged, [len(valid.labels) for _, valid in parts])


def _of_fold(
    corpus: Corpus, store: FrameStore, config: Config, number: int, fold: Checkpoint
) -> tuple[Labelled, Labelled]:
    """Training and validation utterances of a fold."""
    train, valid = split_labelled(corpus, store, parts_of(config, corpus.labelled, number))
    return train, chosen(valid, never_trained(corpus, "labelled", valid, [fold]))


def _mean_of(folds: Sequence[Sequence[Row]], utterances: Sequence[int]) -> list[Row]:
    """Mean of the rows of several folds, weighted by their numbers of utterances."""

    def mean(values: Iterable[float]) -> float:
        return float(np.average(list(values), weights=utterances))

    return [
        replace(
            same[0],
            accuracy=mean(row.accuracy for row in same),
            macro_accuracy=mean(row.macro_accuracy for row in same),
            baseline=mean(row.baseline for row in same),
        )
        for same in zip(*folds, strict=True)
    ]


def test_part(corpus: Corpus, store: FrameStore, checkpoints: Sequence[Checkpoint]) -> Labelled:
    """Test utterances with their answers, without those that a checkpoint was trained on.

    Raises:
        UserError: the corpus has no answers.csv, it names unknown speakers, or all utterances were trained on.
    """
    if corpus.answers is None:
        raise UserError(
            f"{corpus.root}: no answers.csv, so the speakers of the test utterances are unknown; use --part valid"
        )
    unknown = sorted(set(corpus.answers) - set(corpus.speakers))
    if unknown:
        raise UserError(f"{corpus.root}: answers.csv names {unknown[0]!r}, which is not a speaker of the corpus")
    tested = Labelled(store, range(len(corpus.test)), corpus.test.speakers.tolist())
    return chosen(tested, never_trained(corpus, "test", tested, checkpoints))

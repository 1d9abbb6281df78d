"""Evaluate checkpoints on utterances of known speakers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.corpus.labelled import Labelled, chosen
from speakerid.evaluation.durations import Row, evaluate
from speakerid.training.batches import Crops
from speakerid.training.trained_model import TrainedModel


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
    trained = TrainedModel.load(checkpoints, data)
    rate = trained.data.corpus.features.frames_per_second
    durations = [*(max(1, round(s * rate)) for s in seconds), None]
    frames_per_batch = frames_per_batch or trained.config.data.frames_per_batch

    def rows(model: TrainedModel, train: Labelled, tested: Labelled) -> list[Row]:
        models = [one.to(device) for one in model.models]
        return evaluate(models, train, tested, durations, frames_per_batch, rate, crops)

    if part == "test":
        return rows(trained, trained.data.labelled_parts(trained.data.split.final)[0], _test_part(trained))
    paths = trained.fold_paths
    if not paths or not all(path.exists() for path in paths):
        return rows(trained, *trained.parts)
    folds = [trained.of_fold(fold) for fold in range(len(paths))]
    return _mean_of([rows(fold, *fold.parts) for fold in folds], [len(fold.parts[1].labels) for fold in folds])


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


def _test_part(trained: TrainedModel) -> Labelled:
    """Test utterances with their answers, without those that a checkpoint was trained on.

    Raises:
        UserError: the corpus has no answers.csv, it names unknown speakers, or all utterances were trained on.
    """
    corpus, store = trained.open("test")
    if corpus.answers is None:
        raise UserError(
            f"{corpus.root}: no answers.csv, so the speakers of the test utterances are unknown; use --part valid"
        )
    unknown = sorted(set(corpus.answers) - set(corpus.speakers))
    if unknown:
        raise UserError(f"{corpus.root}: answers.csv names {unknown[0]!r}, which is not a speaker of the corpus")
    tested = Labelled(store, range(len(corpus.test)), corpus.test.speakers.tolist())
    return chosen(tested, trained.never_trained_on("test", tested))

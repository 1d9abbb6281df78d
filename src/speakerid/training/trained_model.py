"""Trained models with the corpus to use them on: where validation, evaluation, submissions and bundles start."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid.base.distributed import first_on_each_machine, rank
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.config import Config, FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled, chosen
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus, Part
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import RunSplit, check_held_out, fold_folders
from speakerid.training.training_data import TrainingData
from speakerid.training.utterance_record import never_trained_on


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model, or an ensemble of several of the same speakers and features, and a corpus.

    The corpus is opened, the models are built, and the utterances are split when they are first asked for, once.

    Attributes:
        paths: files of the checkpoints.
        checkpoints: their content.
        root: folder of the corpus; None for the one that the first checkpoint was trained on.
        fold: index of the fold that the model belongs to, if any.
        final: the final model of that run, whose data it shares.
    """

    paths: tuple[Path, ...]
    checkpoints: tuple[Checkpoint, ...]
    root: StrPath | None = None
    fold: int | None = None
    final: TrainedModel | None = None

    @staticmethod
    def load(paths: Sequence[StrPath], root: StrPath | None = None) -> TrainedModel:
        """Load checkpoints.

        Raises:
            UserError: a bad checkpoint, or their speakers or features differ.
        """
        loaded = tuple(Checkpoint.load(path) for path in paths)
        for path, checkpoint in zip(paths, loaded, strict=True):
            for name in ("speakers", "features"):
                if getattr(checkpoint, name) != getattr(loaded[0], name):
                    raise UserError(f"{path}: its {name} differ from those of {paths[0]}; an ensemble needs the same")
        return TrainedModel(tuple(map(Path, paths)), loaded, root)

    @property
    def config(self) -> Config:
        """Settings of the first checkpoint's run."""
        return self.checkpoints[0].config

    @property
    def features(self) -> FeatureConfig:
        """Features that the models were trained on."""
        return self.checkpoints[0].features

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names in the order of the classes."""
        return self.checkpoints[0].speakers

    @cached_property
    def models(self) -> list[SpeakerClassifier]:
        """The models, in evaluation mode, on the CPU."""
        return [checkpoint.build_model() for checkpoint in self.checkpoints]

    @cached_property
    def data(self) -> TrainingData:
        """The labeled utterances of the corpus, split as for the first checkpoint's run.

        Raises:
            UserError: a bad corpus, or one of other features or speakers.
        """
        if self.final:
            return self.final.data
        corpus, store = self.open("labelled")
        if corpus.speakers != self.speakers:
            raise UserError(f"{corpus.root}: its speakers are not those of {self.paths[0]}")
        return TrainingData(corpus, store, RunSplit.of(self.config, corpus.labelled))

    def open(self, part: Part) -> tuple[Corpus, FrameStore]:
        """Open a part of the corpus: of the run's corpus packed as for the run, or of another.

        Raises:
            UserError: a bad corpus, or one of other features; the message names every setting that differs.
        """
        data = self.config.data
        with first_on_each_machine():
            corpus, store = (
                open_corpus(self.root, part) if self.root else open_corpus(data.root, part, data.packed, data.dtype)
            )
        check_features(self.paths[0], self.features, corpus)
        return corpus, store

    @cached_property
    def parts(self) -> tuple[Labelled, Labelled]:
        """Training and validation utterances of the first checkpoint's run, without company.

        If the corpus has changed since, validation utterances that a checkpoint was trained on are moved to the
        training utterances, or left out with the model of a fold, and a line on stderr says so.

        Raises:
            UserError: the run validated on nothing, or was trained on all of the utterances.
        """
        split = self.data.split.of_model(self.fold)
        check_held_out(split, self.data.corpus.root)
        train, valid = self.data.labelled_parts(split)
        unseen = self.never_trained_on("labelled", valid)
        if self.fold is None:
            seen = chosen(valid, ~unseen)
            train = Labelled(train.store, [*train.indices, *seen.indices], [*train.labels, *seen.labels])
        return train, chosen(valid, unseen)

    def never_trained_on(self, part: Part, tested: Labelled) -> NDArray[np.bool_]:
        """(N,) whether no checkpoint was trained on an utterance; lines on stderr tell of the others.

        Raises:
            UserError: all utterances were trained on.
        """
        corpus = self.data.corpus
        records = [checkpoint.utterances for checkpoint in self.checkpoints]
        name = "validation" if part == "labelled" else part
        unseen, lines = never_trained_on(corpus.part(part), tested.indices, records, f"{corpus.root}: {name}")
        for line in lines if rank() == 0 else ():
            print(line, file=sys.stderr)
        return unseen

    def of_fold(self, fold: int) -> TrainedModel:
        """The model of a fold, on the same data."""
        path = self.fold_paths[fold]
        return TrainedModel((path,), (Checkpoint.load(path),), self.root, fold, self)

    @property
    def fold_paths(self) -> list[Path]:
        """Best checkpoints of the run's folds; none for a run without folds, and for an ensemble."""
        count = len(self.data.split.folds) if len(self.paths) == 1 else 0
        return [folder / "best.pt" for folder in fold_folders(self.paths[0].parent, count)]


def check_features(path: StrPath, expected: FeatureConfig, corpus: Corpus) -> None:
    """Check that a corpus has the features that a checkpoint or bundle was trained on.

    Raises:
        UserError: names every feature setting that differs.
    """
    differences = corpus.features.differences(expected)
    if different := [f"{name} {found} (trained on {trained})" for name, (found, trained) in differences.items()]:
        raise UserError(f"{corpus.root}: does not belong to {path}: {', '.join(different)}")

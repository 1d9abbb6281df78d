"""Checkpoints with the corpus that they were trained on, and its parts."""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speakerid.base.distributed import rank
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.config import Config, FeatureConfig
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled, chosen
from speakerid.corpus.split import Split
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus, Part
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import check_held_out, parts_of
from speakerid.training.utterance_record import never_trained_on


def load_ensemble(paths: Sequence[StrPath]) -> list[Checkpoint]:
    """Load checkpoints of the same speakers and features.

    Raises:
        UserError: their speakers or features differ.
    """
    loaded = [Checkpoint.load(path) for path in paths]
    for path, checkpoint in zip(paths, loaded, strict=True):
        for name in ("speakers", "features"):
            if getattr(checkpoint, name) != getattr(loaded[0], name):
                raise UserError(f"{path}: its {name} differ from those of {paths[0]}; an ensemble needs the same")
    return loaded


def check_features(path: StrPath, expected: FeatureConfig, corpus: Corpus) -> None:
    """Check that a corpus has the features that a checkpoint was trained on.

    Raises:
        UserError: names every feature setting that differs.
    """
    differences = corpus.features.differences(expected)
    different = [f"{name} {found} (trained on {trained})" for name, (found, trained) in differences.items()]
    if different:
        raise UserError(f"{corpus.root}: does not belong to {path}: {', '.join(different)}")


def open_for(data: StrPath | None, config: Config, part: Part) -> tuple[Corpus, FrameStore]:
    """Open the corpus that a run was trained on, packed as for the run, or another corpus."""
    settings = config.data
    return open_corpus(data, part) if data else open_corpus(settings.root, part, settings.packed, settings.dtype)


def labelled_parts(corpus: Corpus, store: FrameStore, checkpoints: Sequence[Checkpoint]) -> tuple[Labelled, Labelled]:
    """Training and validation utterances of the first checkpoint's run.

    If the corpus has changed since, current validation utterances that a checkpoint was trained on are moved to the
    training utterances, and a line on stderr says so.

    Raises:
    """
    check_held_out(parts_of(checkpoints[0].config, corpus.labelled), corpus.root)
    train, valid = split_labelled(corpus, store, parts_of(checkpoints[0].config, corpus.labelled))
    judging = never_trained(corpus, "labelled", valid, checkpoints)
    trained = chosen(valid, ~judging)
    more = Labelled(store, [*train.indices, *trained.indices], [*train.labels, *trained.labels])
    return more, chosen(valid, judging)


def split_labelled(corpus: Corpus, store: FrameStore, parts: Split) -> tuple[Labelled, Labelled]:
    labels, sessions = corpus.labelled.speakers, corpus.labelled.sessions
    known = np.asarray(parts.train)[~corpus.labelled.company[parts.train]].tolist()  # company is never an answer
    train, valid = (
        Labelled(store, part, labels[part].tolist(), sessions[part].tolist()) for part in (known, parts.valid)
    )
    return train, valid


def never_trained(corpus: Corpus, part: Part, tested: Labelled, checkpoints: Sequence[Checkpoint]) -> NDArray[np.bool_]:
    records = [checkpoint.utterances for checkpoint in checkpoints]
    name = "validation" if part == "labelled" else part
    judging, lines = never_trained_on(corpus.part(part), tested.indices, records, f"{corpus.root}: {name}")
    for line in lines if rank() == 0 else ():
        print(line, file=sys.stderr)
    return judging

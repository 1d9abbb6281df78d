"""Corpus of a run, opened once for all of its models: utterances, features and their split."""

from dataclasses import dataclass

import numpy as np

from speakerid.base.distributed import first_on_each_machine
from speakerid.base.progress import Progress
from speakerid.config import DEMO_ROOT, Config
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled
from speakerid.corpus.split import Split
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.training.cross_validation import RunSplit


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Corpus of a run, with the frames of its labeled utterances and their split."""

    corpus: Corpus
    store: FrameStore
    split: RunSplit

    def labelled_parts(self, parts: Split) -> tuple[Labelled, Labelled]:
        """Training utterances without company, which is never an answer, and validation utterances."""
        utterances = self.corpus.labelled
        own = np.asarray(parts.train)[~utterances.company[parts.train]].tolist()
        train, valid = (
            Labelled(self.store, rows, utterances.speakers[rows].tolist(), utterances.sessions[rows].tolist())
            for rows in (own, parts.valid)
        )
        return train, valid

    def announce(self, progress: Progress, fold: int | None = None) -> None:
        """Print the numbers of speakers and utterances for the model of a fold, or for the final one (None)."""
        corpus, parts = self.corpus, self.split.of_model(fold)
        own = int((~corpus.labelled.company[parts.train]).sum())
        progress.say(
            f"{corpus.root}: {len(corpus.speakers)} speakers, {own} utterances to train, "
            f"{len(parts.valid)} to validate ({parts.how})"
        )
        if corpus.company:
            progress.say(str(corpus.company))


def open_training_data(config: Config, progress: Progress | None = None) -> TrainingData:
    """Open the corpus of a run; the demonstration corpus is written if it is missing.

    Args:
        config: settings of the run.
        progress: reports the size of the corpus.

    Raises:
        UserError: a bad corpus.
    """
    progress, data = progress or Progress(), config.data
    with first_on_each_machine():
        if data.root == DEMO_ROOT and not data.root.exists():
            from speakerid.demo.corpus import write_demo_corpus  # only the demonstration needs it

            progress.say(f"{data.root} does not exist: writing the demonstration corpus first")
            write_demo_corpus(data.root)
        corpus, store = open_corpus(data.root, "labelled", data.packed, data.dtype, quiet=not progress.is_verbose)
    opened = TrainingData(corpus, store, RunSplit.of(config, corpus.labelled))
    opened.announce(progress)
    return opened

"""Corpus of a run, opened once for all of its models: utterances, features, their split, and batches of them."""

from dataclasses import dataclass

import numpy as np
import torch

from speakerid.base.distributed import first_on_each_machine, world_size
from speakerid.base.errors import UserError
from speakerid.base.printing import counted
from speakerid.base.progress import Progress
from speakerid.config import DEMO_ROOT, Config
from speakerid.corpus.check import open_corpus
from speakerid.corpus.labelled import Labelled
from speakerid.corpus.split import Split
from speakerid.corpus.store import FrameStore
from speakerid.corpus.utterances import Corpus
from speakerid.training.batches import Batches, Prefetched, TrainingBatches
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
            f"{corpus.root}: {counted(len(corpus.speakers), 'speaker')}, {counted(own, 'utterance')} to train, "
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


def training_batches(
    config: Config, data: TrainingData, device: torch.device, fold: int | None = None, longer: int = 1
) -> Batches:
    """Batches of the model of a fold, or of the final one, on its device; prefetched if a GPU has no room for them.

    Args:
        config, data, device: settings, corpus and device of the run.
        fold: index of the fold; None for the final model.
        longer: factor on the frames of the crops.
    """
    settings, utterances = config.train, data.corpus.labelled
    if settings.batch_size < world_size() * settings.accumulate:
        raise UserError(
            f"train.batch_size: found {settings.batch_size}, expected at least {world_size() * settings.accumulate}, "
            f"one for each of {world_size()} processes times train.accumulate={settings.accumulate}"
        )
    batches = TrainingBatches(
        data.store,
        data.split.of_model(fold).train,
        utterances.speakers,
        settings.batch_size,
        longer * settings.crop_frames,
        config.seed,
        device,
        settings.longest_crop_frames and longer * settings.longest_crop_frames,
        utterances.company,
        config.data.company_share,
    )
    return batches if device.type == "cpu" or batches.resident else Prefetched(batches)

"""Make a corpus in which some speakers are strangers."""

from pathlib import Path

import numpy as np

from derived import frames_of
from speakerid import UserError
from speakerid.base.files import atomic_folder
from speakerid.corpus.utterances import Corpus, Utterances
from speakerid.preparation.write import write_corpus


def hold_out(source: Path, root: Path, strangers: int, draw: int) -> None:
    """Write a packed corpus in which some speakers of `source` are strangers, with all their utterances.

    Augmented copies of strangers' utterances are left out, since a stranger at another speed would be in the training.

    Args:
        source: folder of a corpus with labelled and test utterances.
        root: folder to write.
        strangers: number of strangers.
        draw: seed of their choice.

    Raises:
        UserError: the speakers of the test utterances are unknown, or too few speakers would be left.
    """
    corpus, frames = frames_of(source)
    if corpus.answers is None:
        raise UserError(f"{source}: has no test utterances whose speakers are known; prepare it with --test-fraction")
    if len(corpus.speakers) - strangers < 2:
        raise UserError(f"--strangers: found {strangers} of {len(corpus.speakers)} speakers; at least two must remain")
    order = np.random.default_rng(draw).permutation(len(corpus.speakers))
    drawn = {corpus.speakers[index] for index in order[:strangers]}
    known = tuple(name for name in corpus.speakers if name not in drawn)

    everything = [*(one for one in corpus.labelled if one.copy_of is None), *corpus.test]
    of_strangers = sorted((one for one in everything if one.speaker in drawn), key=lambda one: str(one.speaker))
    dropped = {one.feature_path for one in of_strangers}
    labelled = [one for one in corpus.labelled if (one.copy_of or one.feature_path) not in dropped]
    with atomic_folder(root) as folder:
        parts = (
            Utterances.of(labelled, known),
            Utterances.of([one for one in corpus.test if one.speaker in known], known),
            Utterances.of(of_strangers),
        )
        write_corpus(Corpus(folder, corpus.features, known, *parts), frames, "packed", "float16")

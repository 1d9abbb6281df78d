"""Designs of tests: known speakers, training and test recordings, and numbers of simulated occasions.

The session of every recording begins with its role: `training`, `test` or `stranger`.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from derived import frames_of, voices, write_table
from speakerid import PrepareOptions, UserError, prepare
from speakerid.base.files import atomic_folder
from speakerid.corpus.utterances import STAGE, Corpus, Utterance, Utterances
from speakerid.preparation.occasions import simulate
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording
from speakerid.preparation.write import write_corpus

ROLES = ("training", "test", "stranger")
STRANGER_RECORDINGS = 10
"""Largest number of recordings of a stranger."""
SYNTHETIC = 60
"""Number of synthetic voices."""


@dataclass(frozen=True)
class Design:
    """Design of a test.

    Attributes:
        training: largest number of training recordings of a known speaker.
        occasions: number of simulated occasions for these; 0 leaves them as they are.
        test: largest number of test recordings of a known speaker, which follow the training recordings.
        test_occasions: number of other occasions for these.
        known: number of known speakers, others are strangers; by default all.
        synthetic: whether the speakers are synthetic voices.
    """

    training: int
    occasions: int
    test: int
    test_occasions: int
    known: int | None = None
    synthetic: bool = False


DESIGNS = {
    "meetings": Design(18, 3, 6, 1),
    "known": Design(20, 4, 10, 2, known=15),
    "clean": Design(20, 0, 10, 2),
    "synthetic": Design(12, 3, 8, 2, known=40, synthetic=True),
}


def build(name: str, seed: int, recordings: Path, more: Path | None, out: Path, workers: int | None) -> Path:
    """Write the corpora of one design and seed that are not in `out` yet.

    Args:
        name: name in `DESIGNS`.
        seed: seed of the known speakers and of the occasions.
        recordings: folder in a layout that `prepare` knows.
        more: recordings of further people, who are strangers.
        out: folder of everything.
        workers: number of processes; by default one per core.

    Returns:
        A folder with `training`, a corpus of labelled utterances, and `test`, the same with test utterances and
        strangers.

    Raises:
        UserError: the recordings cannot be prepared.
    """
    folder = out / "corpora" / f"{name}-{seed}"
    if folder.exists():
        return folder
    design = DESIGNS[name]
    source = voices(out / "voices", SYNTHETIC, workers, utterances=2) if design.synthetic else recordings
    parted = list(placed(design, scan(source).recordings, scan(more).recordings if more else [], seed))
    as_recorded = [one for one in parted if _role(one) == "training" and not design.occasions]
    others = [one for one in parted if _role(one) != "training" or design.occasions]
    simulated = simulate(others, out / "recordings", seed, workers=workers)
    with atomic_folder(folder) as unfinished:
        write_table(unfinished / "recordings.csv", [*as_recorded, *simulated])
        options = PrepareOptions(layout="table", layout_out="packed", workers=workers)
        prepared = prepare(unfinished / "recordings.csv", unfinished / "everything", options)
        for line in prepared.skipped:
            print(f"left out of {name}: {line}")
        shutil.rmtree(unfinished / "everything" / STAGE)
        _write_parts(unfinished)
    return folder


def placed(
    design: Design, recordings: Sequence[Recording], more: Sequence[Recording], seed: int
) -> Iterator[Recording]:
    """Assign the recordings of a test to roles and occasions, as sessions.

    Args:
        design: design of the test.
        recordings: recordings in the order of speakers.
        more: recordings of strangers, whose names may be those of speakers.
        seed: seed of the known speakers.

    Raises:
        UserError: fewer than two speakers would be known.
    """
    speakers = sorted({one.speaker for one in recordings})
    drawn = np.random.default_rng(seed).permutation(speakers)[: design.known].tolist()
    if len(drawn) < 2:
        raise UserError(f"found {len(speakers)} speakers, expected at least two")
    for speaker, group in groupby(recordings, key=lambda one: one.speaker):
        mine = list(group)
        if speaker in drawn:
            # In the order of the recordings, training first; in proportion if there are too few.
            whole = min(len(mine), design.training + design.test)
            chosen = [mine[index * len(mine) // whole] for index in range(whole)]
            count = whole * design.training // (design.training + design.test)
            yield from _dealt(chosen[:count], "training", max(1, design.occasions))
            yield from _dealt(chosen[count:], "test", design.test_occasions)
        else:
            yield from _stranger(mine, design)
    for speaker, group in groupby(more, key=lambda one: one.speaker):
        yield from _stranger([replace(one, speaker=f"{speaker} (more)") for one in group], design)


def _stranger(recordings: Sequence[Recording], design: Design) -> Iterator[Recording]:
    return _dealt(recordings[:STRANGER_RECORDINGS], "stranger", design.test_occasions)


def _dealt(recordings: Sequence[Recording], role: str, occasions: int) -> Iterator[Recording]:
    """Distribute recordings over occasions, consecutive ones together."""
    for index, one in enumerate(recordings):
        yield replace(one, session=f"{role} {index * min(occasions, len(recordings)) // len(recordings) + 1}")


def _role(one: Recording | Utterance) -> str:
    return str(one.session).split()[0]


def _write_parts(folder: Path) -> None:
    """Write the corpora `training` and `test` from `everything`."""
    corpus, frames = frames_of(folder / "everything")
    parts = {role: [one for one in corpus.labelled if _role(one) == role] for role in ROLES}
    known = tuple(name for name in corpus.speakers if any(one.speaker == name for one in parts["training"]))
    test = [one for one in parts["test"] if one.speaker in known]
    for name, (tested, strangers) in {"training": ([], []), "test": (test, parts["stranger"])}.items():
        part = Corpus(
            folder / name,
            corpus.features,
            known,
            Utterances.of(parts["training"], known),
            Utterances.of(tested, known),
            Utterances.of(strangers),
        )
        (folder / name).mkdir()
        write_corpus(part, frames, "packed", "float16")

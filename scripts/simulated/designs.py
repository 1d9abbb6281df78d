"""Designs of a test: known speakers, training and test recordings, and numbers of simulated occasions.

The session of every recording begins with its role, `training`, `test` or `stranger`, and so says what becomes of it.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from comparison.corpora import write_table
from speakerid.corpus.check import open_corpus
from speakerid.corpus.demo import write_demo_corpus
from speakerid.corpus.layouts import scan
from speakerid.corpus.occasions import simulate
from speakerid.corpus.prepare import Options, prepare
from speakerid.corpus.recordings import Recording
from speakerid.corpus.records import STAGE, Corpus, Utterance, Utterances
from speakerid.corpus.write import write_corpus
from speakerid.errors import UserError
from speakerid.files import atomic_folder

ROLES = ("training", "test", "stranger")
STRANGER_RECORDINGS = 10
"""Most recordings of a stranger."""
SYNTHETIC = 60
"""Synthetic voices, and how many of them are known."""


@dataclass(frozen=True)
class Design:
    """Design of a test.

    Attributes:
        training: most training recordings of a known speaker.
        occasions: number of simulated occasions that they are dealt out to; 0 leaves them as they are.
        test: most test recordings of a known speaker, those behind the training ones.
        test_occasions: number of other occasions that these are dealt out to.
        known: speakers who are known, others are strangers; by default all.
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
        name: in `DESIGNS`.
        seed: of the speakers who are known and of the occasions.
        recordings: in a layout that `prepare` knows.
        more: recordings of further people, who are strangers.
        out: of everything.
        workers: processes; by default one for each core.

    Returns:
        A folder with `training`, a corpus of labelled utterances, and `test`, the same with test utterances and
        strangers.

    Raises:
        UserError: recordings that make no corpus.
    """
    folder = out / "corpora" / f"{name}-{seed}"
    if folder.exists():
        return folder
    design = DESIGNS[name]
    source = _voices(out / "voices", workers) if design.synthetic else recordings
    parted = list(placed(design, scan(source).recordings, scan(more).recordings if more else [], seed))
    as_recorded = [one for one in parted if _role(one) == "training" and not design.occasions]
    others = [one for one in parted if _role(one) != "training" or design.occasions]
    simulated = simulate(others, out / "recordings", seed, workers=workers)
    with atomic_folder(folder) as unfinished:
        write_table(unfinished / "recordings.csv", [*as_recorded, *simulated])
        options = Options(layout="table", layout_out="packed", workers=workers)
        prepared = prepare(unfinished / "recordings.csv", unfinished / "everything", options)
        for line in prepared.skipped:
            print(f"left out of {name}: {line}")
        shutil.rmtree(unfinished / "everything" / STAGE)
        _write_parts(unfinished)
    return folder


def placed(
    design: Design, recordings: Sequence[Recording], more: Sequence[Recording], seed: int
) -> Iterator[Recording]:
    """The recordings of a test, each with its role and its occasion as session.

    Args:
        design: what is asked for.
        recordings: by speaker, in order.
        more: of strangers, whose names may be those of speakers.
        seed: of the speakers who are known.

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
            # In the order of the recordings, training first, in their shares where there are too few.
            whole = min(len(mine), design.training + design.test)
            chosen = [mine[place * len(mine) // whole] for place in range(whole)]
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
    """Consecutive recordings on each occasion."""
    for place, one in enumerate(recordings):
        yield replace(one, session=f"{role} {place * min(occasions, len(recordings)) // len(recordings) + 1}")


def _role(one: Recording | Utterance) -> str:
    return str(one.session).split()[0]


def _voices(folder: Path, workers: int | None) -> Path:
    """Recordings of synthetic voices, a folder per speaker and session."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as features:  # computed anew, of what the occasions leave
            write_demo_corpus(Path(features) / "corpus", SYNTHETIC, utterances=2, workers=workers, wav=folder)
    return folder


def _write_parts(folder: Path) -> None:
    """The corpora `training` and `test`, of `everything`."""
    corpus, store = open_corpus(folder / "everything")
    rows = {name: row for row, name in enumerate(corpus.labelled.names)}
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
        write_corpus(part, lambda one: store.utterance(rows[one.feature_path]).numpy(), "packed", "float16")

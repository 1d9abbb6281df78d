"""The way into a corpus: everything read, everything checked, every problem said at once."""

from pathlib import Path
from typing import Literal

from speakerid.corpus import hw4
from speakerid.corpus.records import Corpus
from speakerid.corpus.store import FrameStore, feature_problems, open_store
from speakerid.errors import CorpusError


def open_corpus(
    root: Path, part: Literal["labelled", "test"] = "labelled", packed: Path | None = None
) -> tuple[Corpus, FrameStore]:
    """A corpus in HW4 layout with the packed features of one part.

    Args:
        root: the folder.
        part: `labelled` to train and validate, `test` to recognise; only the files this part needs must exist.
        packed: folder of the packed copy, see `open_store`.

    Raises:
        UserError: there is no such folder.
        CorpusError: listing every problem of the JSON files and of the part's feature files.
    """
    require = (hw4.METADATA, hw4.MAPPING) if part == "labelled" else (hw4.TESTDATA,)
    corpus, problems = hw4.read(root, require)
    if problems:
        utterances = corpus.labelled if part == "labelled" else corpus.test
        raise CorpusError(root, [*problems, *feature_problems(corpus, utterances)])
    return corpus, open_store(corpus, part, packed)


def check_corpus(root: Path) -> Corpus:
    """Read all of a corpus, every feature file included.

    Raises:
        UserError: there is no such folder.
        CorpusError: listing every problem.
    """
    corpus, problems = hw4.read(root)
    problems += feature_problems(corpus, corpus.labelled + corpus.test)
    if problems:
        raise CorpusError(root, problems)
    return corpus

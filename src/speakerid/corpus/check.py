"""Open or check a corpus, and report all of its problems at once."""

from dataclasses import replace
from pathlib import Path

from speakerid.base.errors import CorpusError, UserError
from speakerid.base.files import StrPath
from speakerid.corpus import hw4, unfinished
from speakerid.corpus.locate import locate
from speakerid.corpus.packing import feature_problems, packed_store
from speakerid.corpus.store import DType, FrameStore, Store, read_store
from speakerid.corpus.utterances import PACKED, PARTS, STAGE, Corpus, Part, Utterances

_REQUIRED: dict[Part, tuple[str, ...]] = {
    "labelled": (hw4.METADATA,),
    "test": (hw4.TESTDATA,),
    "strangers": (hw4.STRANGERS,),
}


def open_corpus(
    root: StrPath,
    part: Part = "labelled",
    packed: StrPath | None = None,
    dtype: DType | None = None,
    quiet: bool = False,
) -> tuple[Corpus, FrameStore]:
    """Open a corpus, in HW4 layout or as a packed store alone, with the frames of one part.

    Args:
        root: folder of the corpus.
        part: `labelled` to train and validate, `test` to recognize; only the files this part needs must exist.
        packed: folder of the packed copy of an HW4 corpus, see `packed_store`.
        dtype: type of the packed frames. Default: float16, or the type of the store if there are no HW4 files.
        quiet: do not report packing.

    Raises:
        UserError: the folder does not exist, or its preparation is unfinished.
        CorpusError: lists every problem of the JSON files and of the part's feature files, or of the store.
    """
    root = _find(root)
    if not hw4.has_corpus(root) and (root / PACKED).is_dir():
        return _open_packed(root, part, dtype)
    corpus, problems = hw4.read(root, _REQUIRED[part])
    if problems:
        raise CorpusError(root, [*problems, *feature_problems(corpus, part)])
    return corpus, packed_store(corpus, part, Path(packed) if packed else None, dtype or "float16", quiet)


def check_corpus(root: StrPath) -> Corpus:
    """Read a whole corpus, including every feature file and every block of the packed store.

    Raises:
        UserError: the folder does not exist, or its preparation is unfinished.
        CorpusError: lists every problem.
    """
    root = _find(root)
    problems: list[str] = []
    stores = _stores(root, problems)
    for store in stores.values():
        problems += store.verify()
    if hw4.has_corpus(root) or not root.is_dir() or not stores:
        corpus, found = hw4.read(root)
        problems = found + problems
        for part in PARTS:
            problems += feature_problems(corpus, part)
    else:
        corpus = _corpus(root, stores)
    if problems:
        raise CorpusError(root, problems)
    return corpus


def _find(root: StrPath) -> Path:
    """Folder of a corpus, whose preparation must be complete."""
    found = locate(Path(root))
    unfinished.refuse(found)
    complete = hw4.has_corpus(found) or (found / PACKED / f"{PARTS[0]}.json").exists()
    if not complete and (found / STAGE).is_dir():
        raise unfinished.error(found)
    return found


def _open_packed(root: Path, part: Part, dtype: DType | None) -> tuple[Corpus, FrameStore]:
    problems: list[str] = []
    stores = _stores(root, problems)
    if part not in stores:
        missing = f"{PACKED}/{part}.json: missing; this corpus has no {part} part"
        raise CorpusError(root, problems or [missing])
    store = stores[part]
    if dtype not in (None, store.head.dtype):
        raise UserError(
            f"data.dtype: found {dtype}, but {root} was packed as {store.head.dtype}; leave the setting out, "
            f"or prepare the corpus again with --dtype {dtype}"
        )
    return _corpus(root, stores), store.frames


def _stores(root: Path, problems: list[str]) -> dict[str, Store]:
    stores: dict[str, Store] = {}
    for part in PARTS:
        try:
            stores[part] = read_store(root / PACKED, part)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UserError as error:
            problems.append(f"{error}; run the same `speakerid prepare SOURCE {root}` again to rebuild the store")
    return stores


def _corpus(root: Path, stores: dict[str, Store]) -> Corpus:
    if len({store.head.corpus for store in stores.values()}) > 1:  # parts of two preparations
        raise unfinished.error(root)
    head = next(iter(stores.values())).head
    parts = {part: store.utterances for part, store in stores.items()}
    none = Utterances.of((), head.speakers)
    return replace(Corpus(root, head.features, head.speakers, none, none), **parts)

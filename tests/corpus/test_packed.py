"""The packed store without HW4 files: its content, and errors for damage."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from corpora import edited
from speakerid.base.errors import CorpusError, UserError
from speakerid.config import FeatureConfig
from speakerid.corpus import store as store_module
from speakerid.corpus import store_writing
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.store import DType, read_store
from speakerid.corpus.store_writing import remove_store, replace_parts, sole_writer, write_files, write_store
from speakerid.corpus.utterances import PARTS, Corpus, Utterance, Utterances

N_MELS = 4
SPEAKERS = ("Zoë", "ann")


def make_corpus(root: Path) -> Corpus:
    labelled = [
        Utterance(f"uttr-{speaker}{n}.pt", 3 + n, speaker, None if speaker == "ann" and n == 2 else f"day {n // 2}")
        for speaker in SPEAKERS
        for n in range(4)
    ]
    labelled += [replace(labelled[5], feature_path="uttr-copy.pt", copy_of=labelled[5].feature_path)]
    labelled += [
        replace(labelled[5], feature_path="uttr-fast.pt", speaker="ann fast", copy_of=labelled[5].feature_path)
    ]
    return Corpus(
        root,
        FeatureConfig(n_mels=N_MELS),
        SPEAKERS,
        Utterances.of(labelled, SPEAKERS),
        Utterances.of([Utterance("uttr-t.pt", 7, "ann"), Utterance("uttr-u.pt", 2, "a stranger")], SPEAKERS),
        Utterances.of([Utterance(f"uttr-s{n}.pt", 5, "nobody", "once") for n in range(2)]),
    )


def features(utterances: Utterances, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(-8, 6, (u.length, N_MELS)).astype(np.float16).astype(np.float32) for u in utterances]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    corpus = make_corpus(tmp_path / "corpus")
    for part in PARTS:
        write_store(corpus.root / "packed", part, corpus, features(corpus.part(part)), "float16")
    return corpus.root


def only(root: Path, pattern: str) -> Path:
    (path,) = (root / "packed").glob(pattern)
    return path


@pytest.mark.parametrize("part", PARTS)
def test_everything_is_read_back(root: Path, part: store_module.Part) -> None:
    expected = make_corpus(root)
    corpus, frames = open_corpus(root, part)
    assert corpus == expected
    for index, values in enumerate(features(expected.part(part))):
        assert np.array_equal(frames.utterance(index).numpy(), values)
    assert check_corpus(root) == expected


def test_missing_part(root: Path) -> None:
    for path in (root / "packed").glob("test*"):
        path.unlink()
    with pytest.raises(CorpusError, match=r"packed/test\.json: missing; this corpus has no test part"):
        open_corpus(root, "test")
    assert len(open_corpus(root)[1]) == 10


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["float16", "float32"]),
    arrays.arrays(np.float32, (5, N_MELS), elements=st.floats(-20.75, 12, width=32)),
)
def test_rounding_is_bounded(tmp_path_factory: pytest.TempPathFactory, dtype: DType, values: np.ndarray) -> None:
    root = tmp_path_factory.getbasetemp() / "rounding"
    corpus = Corpus(root, FeatureConfig(n_mels=N_MELS), ("a",), Utterances.of([Utterance("u.pt", 5, "a")], ("a",)))
    write_store(root / "packed", "labelled", corpus, [values], dtype)
    found = open_corpus(root)[1].utterance(0).numpy()
    assert found.dtype == np.float32
    if dtype == "float32":
        assert np.array_equal(found, values)
    # Half of the spacing of float16, which is 2^-6 between 16 and 32; 2^-24 below its normal numbers.
    assert np.abs(found - values).max() <= 2**-7
    assert (np.abs(found - values) <= np.maximum(np.abs(values) * 2**-11, 2**-25)).all()


def test_float16_is_half_as_large(root: Path, tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "other")
    write_store(corpus.root / "packed", "labelled", corpus, features(corpus.labelled), "float32")
    sizes = [only(folder, "labelled-*.frames").stat().st_size for folder in (root, tmp_path / "other")]
    assert sizes[1] == 2 * sizes[0] == sum(corpus.labelled.lengths) * N_MELS * 4


def test_value_beyond_float16_is_refused(root: Path) -> None:
    corpus = make_corpus(root)
    before = only(root, "labelled-*.frames")
    values = features(corpus.labelled)
    values[3][1, 2] = 70_000
    with pytest.raises(UserError, match="beyond the range of float16; pack as float32"):
        write_store(root / "packed", "labelled", corpus, values, "float16")
    assert only(root, "labelled-*.frames") == before
    assert check_corpus(root) == corpus


def test_another_dtype_is_refused_with_a_remedy(root: Path) -> None:
    assert len(open_corpus(root, dtype="float16")[1]) == 10
    with pytest.raises(UserError, match=r"data\.dtype: found float32, but .* was packed as float16; .*--dtype float32"):
        open_corpus(root, dtype="float32")


@pytest.mark.parametrize("kind", ["frames", "index", "names"])
@pytest.mark.parametrize("size", [None, 0, 1, -1, +1])
def test_truncated_or_missing_file_is_refused_with_a_remedy(root: Path, kind: str, size: int | None) -> None:
    path = only(root, f"labelled-*.{kind}")
    content = path.read_bytes()
    if size is None:
        path.unlink()
    else:
        path.write_bytes(content + b"\0" if size > 0 and size == 1 and kind != "frames" else content[:size])
    with pytest.raises(CorpusError) as caught:
        open_corpus(root)
    (line,) = caught.value.problems
    assert line.startswith(str(path))
    assert line.endswith(f"; run the same `speakerid prepare SOURCE {root}` again to rebuild the store")


@pytest.mark.parametrize("kind", ["index", "names"])
def test_any_flipped_bit_of_the_index_is_noticed_at_open(root: Path, kind: str) -> None:
    path = only(root, f"labelled-*.{kind}")
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(CorpusError, match="differs from its checksum"):
            open_corpus(root)


def test_any_flipped_bit_of_the_head_is_noticed(root: Path) -> None:
    path = root / "packed" / "labelled.json"
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(UserError, match=r"labelled\.json: (differs from its checksum|damaged, or of another)"):
            read_store(root / "packed", "labelled")
    path.write_bytes(content)
    with edited(path) as head:
        head["speakers"][0] = "Zoe"
    with pytest.raises(CorpusError, match=r"labelled\.json: .*to rebuild the store"):
        check_corpus(root)


def test_store_of_the_old_format_opens(root: Path) -> None:
    for part in PARTS:
        with edited(root / "packed" / f"{part}.json") as head:
            del head["checksum"], head["corpus"]
            head["format"] = "speakerid store 1"
    assert check_corpus(root) == make_corpus(root)


def test_parts_of_two_preparations_are_not_one_corpus(root: Path) -> None:
    corpus, folder = make_corpus(root), root / "packed"
    with sole_writer(folder):
        replace_parts(
            [write_files(folder, part, corpus, features(corpus.part(part)), "float16") for part in PARTS], True
        )
    assert check_corpus(root) == corpus
    write_store(folder, "test", corpus, features(corpus.test), "float16")
    for action in (check_corpus, open_corpus):
        with pytest.raises(UserError, match="its preparation is unfinished; run the same `prepare` again"):
            action(root)


def test_names_stay_those_of_the_opened_store(root: Path) -> None:
    corpus, _ = open_corpus(root)
    other = replace(corpus.labelled[0], feature_path="uttr-other.pt")
    changed = replace(corpus, labelled=Utterances.of([other, *corpus.labelled[1:]], SPEAKERS))
    write_store(root / "packed", "labelled", changed, features(changed.labelled), "float16")
    assert corpus.labelled.names[0] == "uttr-Zoë0.pt"


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff", b'{"format": "speakerid store 0"}'])
def test_another_head_is_refused(root: Path, content: bytes) -> None:
    (root / "packed" / "labelled.json").write_bytes(content)
    with pytest.raises(CorpusError, match="damaged, or of another version; expected 'speakerid store 2'"):
        open_corpus(root)


def test_check_reports_the_damaged_block_and_its_utterances(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BLOCK", 32)
    monkeypatch.setattr(store_writing, "BLOCK", 32)
    for part in ("test", "strangers"):
        remove_store(root / "packed", part)
    corpus = make_corpus(root)
    write_store(root / "packed", "labelled", corpus, features(corpus.labelled), "float16")
    path = only(root, "labelled-*.frames")
    content = bytearray(path.read_bytes())
    content[70] ^= 1  # in the third block, frames 8 to 11; utterance 2 has frames 7 to 11
    path.write_bytes(content)
    assert len(open_corpus(root)[1]) == 10  # opening reads no frames
    with pytest.raises(CorpusError) as caught:
        check_corpus(root)
    assert caught.value.problems == [
        f"{path.name}: bytes 64 to 96 differ from their checksum; they hold utterances 2 to 2"
    ]


def test_readers_keep_the_old_store(root: Path) -> None:
    corpus, frames = open_corpus(root)
    before = [frames.utterance(index) for index in range(len(frames))]
    write_store(root / "packed", "labelled", corpus, features(corpus.labelled, seed=1), "float16")
    assert all(np.array_equal(frames.utterance(index), values) for index, values in enumerate(before))
    assert not np.array_equal(open_corpus(root)[1].utterance(0), before[0])
    assert len(list((root / "packed").glob("labelled-*"))) == 3


def test_unfinished_preparation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    with pytest.raises(UserError, match="its preparation is unfinished; run the same `prepare` again to continue"):
        open_corpus(tmp_path)


def test_finished_preparation_without_a_part_is_not_unfinished(root: Path) -> None:
    make_corpus(root)
    (root / "prepared").mkdir()
    for path in (root / "packed").glob("test*"):
        path.unlink()
    with pytest.raises(CorpusError, match=r"packed/test\.json: missing; this corpus has no test part"):
        open_corpus(root, "test")


def test_voxceleb2_opens_with_little_memory(tmp_path: Path) -> None:
    """1,100,000 utterances of 6,000 speakers, with the frames as a sparse file."""
    count = 1_100_000
    rng = np.random.default_rng(0)
    speakers = np.sort(rng.integers(0, 6_000, count)).astype(np.int32)
    utterances = Utterances(
        [f"id{speaker:05}/{row:08}.pt" for row, speaker in enumerate(speakers.tolist())],
        np.ones(count, np.int64),
        speakers,
        speakers * 25 + np.arange(count, dtype=np.int32) % 25,
        np.arange(count, dtype=np.int32),
        tuple(f"id{speaker:05}" for speaker in range(6_000)),
        tuple(f"video {n % 25}" for n in range(150_000)),
    )
    corpus = Corpus(tmp_path, FeatureConfig(n_mels=1), utterances.speaker_names, utterances)
    write_store(
        tmp_path / "packed", "labelled", corpus, [np.arange(count, dtype=np.float32)[:, None] % 2_048], "float16"
    )
    script = (
        "import resource, sys; from pathlib import Path; from speakerid.corpus.check import open_corpus\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "corpus, store = open_corpus(Path(sys.argv[1]))\n"
        "assert store.utterance(1_000_000).item() == 1_000_000 % 2_048\n"
        "print(len(corpus.labelled), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    found = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    length, grown = map(int, found.stdout.split())
    assert length == count
    # Kibibytes: the index and the speakers, but not the names, which take 100 MB.
    assert grown < 80_000
    assert read_store(tmp_path / "packed", "labelled").utterances.names[count - 1].endswith("01099999.pt")


def test_equalized_features_are_refused(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    corpus = replace(corpus, features=FeatureConfig(n_mels=N_MELS).model_copy(update={"equalise": True}))
    write_store(corpus.root / "packed", "labelled", corpus, features(corpus.labelled), "float16")
    with pytest.raises(CorpusError, match=r"labelled\.json: .*equalise: found True: expected false, since"):
        open_corpus(corpus.root)

"""Every mistake in a corpus gives one line with the file and the field or utterance."""

import json
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from corpora import edited, write_corpus
from speakerid.base.errors import CorpusError, UserError
from speakerid.corpus import feature_file
from speakerid.corpus.check import open_corpus

FEATURES = "uttr-broken.pt"
"""The first utterance of the first speaker: 5 frames of 4 bands."""
FRAMES, N_MELS = 5, 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    path = next(iter(write_corpus(root, ("zoe", "ann", "mia"), frames=(FRAMES, FRAMES), n_mels=N_MELS, test=2)))
    (root / path).rename(root / FEATURES)
    with edited(root / "metadata.json") as metadata:
        metadata["speakers"]["zoe"][0]["feature_path"] = FEATURES
    return root


def problems(root: Path, part: Literal["labelled", "test"] = "labelled") -> list[str]:
    with pytest.raises(CorpusError) as caught:
        open_corpus(root, part)
    lines = caught.value.problems
    count = f"{len(lines)} problem" + "s" * (len(lines) > 1)
    assert str(caught.value).startswith(f"{root}: {count}\n  ")
    for line in lines:
        assert "\n" not in line
        assert len(line) < 300
    return lines


def test_valid_corpus_opens(root: Path) -> None:
    assert len(open_corpus(root)[1]) == 9
    assert len(open_corpus(root, "test")[1]) == 2


@pytest.mark.parametrize("part", ["labelled", "test"])
def test_missing_folder_says_how_to_make_one(root: Path, part: Literal["labelled", "test"]) -> None:
    for path in (root / "nowhere", root / FEATURES):
        expected = rf"^{path}: no such folder; expected .*speakerid prepare.*metadata\.json.*$"
        with pytest.raises(UserError, match=expected):
            open_corpus(path, part)


@pytest.mark.parametrize(
    ("name", "part"), [("metadata.json", "labelled"), ("mapping.json", "labelled"), ("testdata.json", "test")]
)
class TestJson:
    def test_missing(self, root: Path, name: str, part: Literal["labelled", "test"]) -> None:
        (root / name).unlink()
        if name == "mapping.json":
            assert len(open_corpus(root)[1]) == 9
        else:
            assert problems(root, part) == [f"{name}: missing; expected next to the feature files"]

    def test_a_folder(self, root: Path, name: str, part: Literal["labelled", "test"]) -> None:
        (root / name).unlink()
        (root / name).mkdir()
        assert problems(root, part) == [f"{name}: cannot be read: found a folder, expected a regular file"]

    def test_a_pipe(self, root: Path, name: str, part: Literal["labelled", "test"]) -> None:
        (root / name).unlink()
        os.mkfifo(root / name)
        assert problems(root, part) == [f"{name}: cannot be read: found a named pipe, expected a regular file"]

    def test_byte_order_mark(self, root: Path, name: str, part: Literal["labelled", "test"]) -> None:
        content = (root / name).read_text()
        (root / name).write_text(content, encoding="utf-8-sig")
        open_corpus(root, part)
        (root / name).write_text(content, encoding="utf-16")
        assert problems(root, part) == [
            f"{name}: Invalid JSON: found UTF-16 or UTF-32, expected UTF-8; save it as UTF-8"
        ]

    @pytest.mark.parametrize("value", ["[" * 100_000, "9" * 6_000, '"\\ud800"'])
    def test_value_that_json_does_not_have(
        self, root: Path, name: str, part: Literal["labelled", "test"], value: str
    ) -> None:
        (root / name).write_text((root / name).read_text().replace("{", f'{{"comment": {value}, ', 1))
        (line,) = problems(root, part)
        assert line.startswith(f"{name}: Invalid JSON: ")

    def test_key_written_twice(self, root: Path, name: str, part: Literal["labelled", "test"]) -> None:
        content = (root / name).read_text()
        key = next(iter(json.loads(content)))
        (root / name).write_text(f'{{"{key}": {json.dumps(json.loads(content)[key])}, {content[1:]}')
        (line,) = problems(root, part)
        assert line.startswith(f"{name}: '{key}': found 2 times in one object")

    @pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
    def test_truncated(self, root: Path, name: str, part: Literal["labelled", "test"], keep: float) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
        (line,) = problems(root, part)
        assert line.startswith(f"{name}: ")
        assert "Invalid JSON: EOF while parsing" in line

    @pytest.mark.parametrize("content", [b"{'n_mels': 40}", b"\x80\x04]", b'{"n_mels": 40,}', b"\xff\xfe{\0}\0"])
    def test_not_json(self, root: Path, name: str, part: Literal["labelled", "test"], content: bytes) -> None:
        (root / name).write_bytes(content)
        (line,) = problems(root, part)
        assert line.startswith(f"{name}: ")
        assert "Invalid JSON" in line

    @pytest.mark.parametrize("content", ["[]", "null", "7", '"text"'])
    def test_not_an_object(self, root: Path, name: str, part: Literal["labelled", "test"], content: str) -> None:
        (root / name).write_text(content)
        (line,) = problems(root, part)
        assert line.startswith(f"{name}: ")
        assert "object" in line


MISSING = type("Missing", (), {"__repr__": lambda _: "missing"})()
JsonPath = Sequence[str | int]


def put(content: Any, keys: JsonPath, value: object) -> None:
    """Set or remove the value at a position inside JSON content."""
    for step in keys[:-1]:
        content = content[step]
    if value is MISSING:
        del content[keys[-1]]
    else:
        content[keys[-1]] = value


MISTAKES: list[tuple[str, JsonPath, object, str]] = [
    ("metadata", ["n_mels"], MISSING, "n_mels: missing"),
    ("metadata", ["n_mels"], "4", "n_mels: found '4': Input should be a valid integer"),
    ("metadata", ["n_mels"], 0, "n_mels: found 0: Input should be greater than or equal to 1"),
    ("metadata", ["speakers"], MISSING, "speakers: missing"),
    ("metadata", ["speakers"], ["zoe"], "speakers: Input should be an object"),
    ("metadata", ["speakers"], {}, "speakers: none; a classifier needs at least two"),
    ("metadata", ["speakers", "ann"], {}, "speakers.ann: Input should be a valid array"),
    ("metadata", ["speakers", "ann"], None, "speakers.ann: found None: Input should be a valid array"),
    ("metadata", ["speakers", "ann"], MISSING, "speakers.ann: missing, but mapping.json has this speaker"),
    ("metadata", ["speakers", "ann"], [], "speakers.ann: 0 utterance(s); expected at least 2"),
    ("metadata", ["speakers", "ann", 2], "uttr-x.pt", "speakers.ann.2: found 'uttr-x.pt': Input should be an object"),
    ("metadata", ["speakers", "ann", 2, "feature_path"], MISSING, "speakers.ann.2.feature_path: missing"),
    ("metadata", ["speakers", "ann", 2, "feature_path"], 7, "speakers.ann.2.feature_path: found 7: Input should be"),
    ("metadata", ["speakers", "ann", 2, "feature_path"], "", "speakers.ann.2.feature_path: found '': "),
    ("metadata", ["speakers", "ann", 2, "mel_len"], MISSING, "speakers.ann.2.mel_len: missing"),
    ("metadata", ["speakers", "ann", 2, "mel_len"], "5", "speakers.ann.2.mel_len: found '5': Input should be"),
    ("metadata", ["speakers", "ann", 2, "mel_len"], 5.0, "speakers.ann.2.mel_len: found 5.0: Input should be"),
    ("metadata", ["speakers", "ann", 2, "mel_len"], True, "speakers.ann.2.mel_len: found True: Input should be"),
    ("metadata", ["speakers", "ann", 2, "mel_len"], 10**30, "speakers.ann.2.mel_len: found 1000"),
    ("metadata", ["speakers", "ann", 2, "mel_len"], 2**31, "speakers.ann.2.mel_len: found 2147483648: Input should"),
    ("metadata", ["n_mels"], 10**12, "n_mels: found 1000000000000: Input should be less than or equal to 65536"),
    ("metadata", ["speakers", "ann", 2, "session"], 3, "speakers.ann.2.session: found 3: Input should be"),
    ("metadata", ["speakers", "zoe", 0, "mel_len"], 0, f"{FEATURES}: empty utterance (mel_len 0)"),
    ("metadata", ["speakers", "zoe", 0, "mel_len"], -5, f"{FEATURES}: empty utterance (mel_len -5)"),
    ("metadata", ["speakers", "zoe", 0, "feature_path"], "../x.pt", "../x.pt: points outside the corpus"),
    ("metadata", ["speakers", "zoe", 0, "feature_path"], "a/../../x.pt", "a/../../x.pt: points outside the corpus"),
    ("metadata", ["speakers", "zoe", 0, "feature_path"], "/etc/passwd", "/etc/passwd: points outside the corpus"),
    ("metadata", ["speakers", "ann", 2, "feature_path"], FEATURES, f"{FEATURES}: duplicate utterance, listed 2 times"),
    ("mapping", ["speaker2id"], MISSING, "speaker2id: missing"),
    ("mapping", ["speaker2id"], ["ann"], "speaker2id: Input should be an object"),
    ("mapping", ["speaker2id", "ann"], MISSING, "speaker2id.ann: missing, but metadata.json has this speaker"),
    ("mapping", ["speaker2id", "ann"], "0", "speaker2id.ann: found '0': Input should be a valid integer"),
    ("mapping", ["speaker2id", "ann"], -1, "speaker2id.ann: found -1: Input should be greater than or equal to 0"),
    ("mapping", ["speaker2id", "ann"], 3, "speaker2id: ids are not 0 to 2, each once"),
    ("mapping", ["speaker2id", "ann"], 1, "speaker2id: ids are not 0 to 2, each once"),
    ("mapping", ["id2speaker"], MISSING, "id2speaker: missing"),
    ("mapping", ["id2speaker"], {"0": "mia", "1": "ann", "2": "zoe"}, "id2speaker: is not the inverse of speaker2id"),
    ("mapping", ["id2speaker", "0"], MISSING, "id2speaker: is not the inverse of speaker2id"),
    ("mapping", ["id2speaker", "7"], "bob", "id2speaker: is not the inverse of speaker2id"),
    ("mapping", ["id2speaker", "0"], 0, "id2speaker.0: found 0: Input should be a valid string"),
]


@pytest.mark.parametrize(("name", "keys", "value", "line"), MISTAKES, ids=lambda argument: str(argument)[:60])
def test_mistake_in_a_json_file_is_reported(root: Path, name: str, keys: JsonPath, value: object, line: str) -> None:
    with edited(root / f"{name}.json") as content:
        put(content, keys, value)
    assert problems(root)[0].startswith(f"{name}.json: {line}")


def test_speaker_with_one_utterance_is_reported(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        del metadata["speakers"]["ann"][1:]
    assert problems(root) == [
        "metadata.json: speakers.ann: 1 utterance(s); expected at least 2, one to train and one to validate"
    ]


def test_single_speaker_is_reported(tmp_path: Path) -> None:
    write_corpus(tmp_path, ("ann",))
    assert problems(tmp_path) == ["metadata.json: speakers: only one; a classifier needs at least two"]


def test_same_mistake_in_test_data_is_reported(root: Path) -> None:
    with edited(root / "testdata.json") as testdata:
        testdata["utterances"][1]["feature_path"] = testdata["utterances"][0]["feature_path"]
        testdata["utterances"][0]["mel_len"] = 0
    lines = problems(root, "test")
    assert any(line.startswith("testdata.json: uttr-") and "empty utterance" in line for line in lines)
    assert any(line.startswith("testdata.json: uttr-") and "duplicate utterance" in line for line in lines)


@pytest.mark.parametrize("path", ["uttr\0.pt", "a\nb.pt", "a\rb.pt", "\x1b[31m.pt", "a\u2028b.pt"])
def test_path_with_a_control_character_is_refused(root: Path, path: str) -> None:
    with edited(root / "metadata.json") as metadata:
        metadata["speakers"]["zoe"][0]["feature_path"] = path
    (line,) = problems(root)
    assert line == f"metadata.json: {path!r}: holds a line break or control character; rename file and entry"


def test_path_written_in_two_ways_is_a_duplicate(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        metadata["speakers"]["ann"][2]["feature_path"] = f".//{FEATURES}"
    assert problems(root) == [f"metadata.json: {FEATURES}: duplicate utterance, listed 2 times"]


def test_many_entries_with_the_same_problem_are_counted(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        for entries in metadata["speakers"].values():
            for entry in entries:
                entry["mel_len"] = "5"
    lines = problems(root)
    assert len(lines) == 4
    assert lines[3] == "metadata.json: 6 more entries are wrong in the same way"


def test_other_n_mels_than_the_tensors(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        metadata["n_mels"] = 40
    with edited(root / "testdata.json") as testdata:
        testdata["n_mels"] = 80
    first, *others = problems(root)
    assert first == "testdata.json: n_mels: found 80, but metadata.json has 40"
    assert len(others) == 9
    assert others[0] == f"{FEATURES}: shape (5, 4), expected (5, 40) from mel_len and n_mels"


def tensor(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def save(content: object) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def dump(content: object) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(content, 4))


def save_array(array: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, array)

    return write


def cut_array(path: Path) -> None:
    save_array(np.zeros((5, 4), np.float32))(path)
    path.write_bytes(path.read_bytes()[:-1])


def save_script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "the file is missing; restore it or remove its entry"),
    "empty": (lambda path: path.write_bytes(b""), "truncated or not a tensor file; write it again"),
    "text": (lambda path: path.write_text("5 frames\n"), ""),
    "text that reads like a pickle": (lambda path: path.write_text("root:x:0:0\n"), ""),
    "dict": (save({"mel": tensor(5, 4)}), "holds dict, expected one tensor of shape (5, 4)"),
    "list": (save([tensor(5, 4)]), "holds list, expected one tensor of shape (5, 4)"),
    "None": (save(None), "holds NoneType, expected one tensor of shape (5, 4)"),
    "float64 beyond float32": (save(tensor(5, 4).double() + 1e300), "holds NaN or infinite values; compute it again"),
    "int64": (save(tensor(5, 4).long()), "holds torch.int64, expected torch.float32"),
    "frames": (save(tensor(6, 4)), "shape (6, 4), expected (5, 4) from mel_len and n_mels; correct mel_len to 6"),
    "bands": (save(tensor(5, 3)), "shape (5, 3), expected (5, 4) from mel_len and n_mels"),
    "transposed": (save(tensor(4, 5)), "shape (4, 5), expected (5, 4) from mel_len and n_mels; it is transposed"),
    "batch": (save(tensor(1, 5, 4)), "shape (1, 5, 4), expected (5, 4) from mel_len and n_mels"),
    "NaN": (save(torch.full((5, 4), torch.nan)), "holds NaN or infinite values; compute it again"),
    "infinite": (save(torch.full((5, 4), torch.inf)), "holds NaN or infinite values; compute it again"),
    "TorchScript": (save_script, ""),
    "pipe": (os.mkfifo, "found a named pipe, expected a regular file"),
    "expanded": (save(tensor(1, 4).expand(5, 4)), "claim"),
    "NumPy": (save(np.zeros((5, 4), np.float32)), "holds a pickled NumPy array; write it with torch.save"),
    "pickled": (dump(tensor(5, 4)), "holds a tensor that was not pickled like torch.save does by default (protocol 4)"),
    "integers of NumPy": (save_array(np.zeros((5, 4), int)), "holds int64, expected float32"),
    "objects of NumPy": (save_array(np.full((5, 4), None)), "a damaged array of numpy.save; write it again"),
    "array that is cut off": (cut_array, "a damaged array of numpy.save; write it again"),
    "web page": (lambda path: path.write_text("<html>"), "holds a web page or a Git LFS pointer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_feature_file_is_reported(root: Path, case: str) -> None:
    write, reason = BROKEN[case]
    (root / FEATURES).unlink()
    write(root / FEATURES)
    (line,) = problems(root)
    assert line.startswith(f"{FEATURES}: ")
    assert reason in line


def test_frame_that_is_not_finite_is_found(root: Path) -> None:
    features = torch.zeros(FRAMES, N_MELS)
    features[4, 3] = torch.nan
    torch.save(features, root / FEATURES)
    assert problems(root) == [f"{FEATURES}: holds NaN or infinite values; compute it again"]


FLOATS = torch.arange(20.0).reshape(5, 4)
TAKEN: dict[str, Callable[[Path], None]] = {
    "transposed": save(FLOATS.T.contiguous().T),
    "strided": save(FLOATS.repeat_interleave(2, 0)[::2]),
    "view of more": save(torch.cat([FLOATS, FLOATS])[:5]),
    "with gradient": save(FLOATS.clone().requires_grad_()),
    "parameter": save(torch.nn.Parameter(FLOATS)),
    "float16": save(FLOATS.half()),
    "bfloat16": save(FLOATS.bfloat16()),
    "float64": save(FLOATS.double()),
    "array": save_array(FLOATS.numpy()),
    "big-endian array of doubles by columns": save_array(np.asfortranarray(FLOATS.numpy().astype(">f8"))),
}


@pytest.mark.parametrize("case", TAKEN)
def test_any_floating_point_tensor_of_the_shape_is_read(root: Path, case: str) -> None:
    TAKEN[case](root / FEATURES)
    _, store = open_corpus(root)
    assert torch.equal(store.utterance(0), FLOATS)


def test_file_truncated_anywhere_is_refused(root: Path) -> None:
    path = root / FEATURES
    content = path.read_bytes()
    for end in range(0, len(content), 5):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"^(truncated|holds Python objects or code)"):
            feature_file.load(path, FRAMES, N_MELS)
    path.write_bytes(content[:-1])
    assert problems(root) == [f"{FEATURES}: truncated or not a tensor file; write it again"]


def test_damaged_file_is_refused_or_has_the_expected_shape(root: Path) -> None:
    path = root / FEATURES
    content = path.read_bytes()
    for position in range(0, len(content), 2):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        try:
            features = feature_file.load(path, FRAMES, N_MELS)
        except UserError:
            continue
        assert features.shape == (FRAMES, N_MELS)
        assert features.isfinite().all()


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle"])
def test_code_in_a_feature_file_is_refused_and_not_run(root: Path, tmp_path: Path, form: str) -> None:
    marker = tmp_path / "executed"
    path = root / FEATURES
    if form == "pickle":
        path.write_bytes(pickle.dumps(Malice(marker)))
        pickle.loads(path.read_bytes())
    else:
        torch.save([Malice(marker)], path, _use_new_zipfile_serialization=form == "torch")
        torch.load(path, weights_only=False)
    assert marker.exists(), "the file does no harm, so the test would prove nothing"
    marker.unlink()
    (line,) = problems(root)
    expected = "found pickle protocol 4, expected 2" if form == "pickle" else "holds Python objects or code"
    assert line.startswith(f"{FEATURES}: {expected}")
    assert not marker.exists()


def test_all_problems_are_reported_at_once(root: Path) -> None:
    other = "uttr-other.pt"
    with edited(root / "metadata.json") as metadata:
        (root / metadata["speakers"]["ann"][0]["feature_path"]).rename(root / other)
        metadata["speakers"]["ann"][0]["feature_path"] = other
    with edited(root / "mapping.json") as mapping:
        mapping["id2speaker"]["0"] = "bob"
    with edited(root / "testdata.json") as testdata:
        testdata["utterances"][0]["mel_len"] = 0
        empty = testdata["utterances"][0]["feature_path"]
    (root / FEATURES).unlink()
    torch.save([], root / other)
    assert problems(root) == [
        "mapping.json: id2speaker: is not the inverse of speaker2id (its keys are ids as text)",
        f"testdata.json: {empty}: empty utterance (mel_len 0)",
        f"{FEATURES}: the file is missing; restore it or remove its entry",
        f"{other}: holds list, expected one tensor of shape (5, 4)",
    ]


def test_twenty_problems_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    paths = list(write_corpus(tmp_path, utterances=10))[:25]
    for path in paths:
        (tmp_path / path).unlink()
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path)
    reason = "the file is missing; restore it or remove its entry"
    assert str(caught.value).split("\n  ") == [
        f"{tmp_path}: 25 problems",
        *(f"{path}: {reason}" for path in paths[:20]),
        "… and 5 more",
    ]
    assert caught.value.problems == [f"{path}: {reason}" for path in paths]


def test_twenty_problems_are_all_shown(tmp_path: Path) -> None:
    for path in list(write_corpus(tmp_path, utterances=10))[:20]:
        (tmp_path / path).unlink()
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path)
    assert len(str(caught.value).splitlines()) == 21
    assert "more" not in str(caught.value)


def test_long_value_is_not_repeated_whole(root: Path) -> None:
    with edited(root / "metadata.json") as metadata:
        metadata["n_mels"] = "many " * 10_000
    assert problems(root)[0].startswith("metadata.json: n_mels: found 'many many")


def test_broken_corpus_leaves_nothing_behind(root: Path) -> None:
    before = json.dumps(sorted(path.name for path in root.iterdir()))
    with edited(root / "mapping.json") as mapping:
        mapping["id2speaker"] = {}
    problems(root)
    assert json.dumps(sorted(path.name for path in root.iterdir())) == before

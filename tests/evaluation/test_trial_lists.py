import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speakerid.base.errors import UserError
from speakerid.evaluation.trial_lists import read_trials

FIRST = "1 id1/rec/00001.wav id2/rec/0002.wav\n0 id1/rec/00001.wav b\n"
LAST = "id1/rec/00001.wav id2/rec/0002.wav target\nid1/rec/00001.wav b nontarget\n"
LISTS = {
    "VoxCeleb": FIRST,
    "Kaldi": LAST,
    "VOiCES": LAST.replace("nontarget", "imp").replace("target", "tgt"),
    "CN-Celeb": LAST.replace("nontarget", "0").replace("target", "1"),
    "other words": LAST.replace("nontarget", "False").replace("target", "True"),
    "capitals": LAST.upper().replace("ID", "id").replace("REC", "rec").replace("WAV", "wav").replace("B", "b"),
    "byte-order mark and mixed": "\ufeff" + FIRST.splitlines()[0] + "\n" + LAST.splitlines()[1],
    "CRLF, empty lines, comments": "# made by hand\r\n\r\n" + FIRST.replace("\n", "\r\n   \r\n"),
    "old Mac line ends": FIRST.replace("\n", "\r"),
    "tabs": FIRST.replace(" ", "\t"),
    "several blanks": FIRST.replace(" ", "   "),
    "commas": FIRST.replace(" ", ","),
    "commas and blanks": LAST.replace(" ", ", "),
    "semicolons": LAST.replace(" ", ";"),
    "quotes": '"1","id1/rec/00001.wav","id2/rec/0002.wav"\n"0","id1/rec/00001.wav","b"\n',
    "heading": "label,enroll,test\n" + FIRST.replace(" ", ","),
    "heading with a label's word": "enroll test target\n" + LAST,
    "SRE": "modelid\tsegmentid\tside\ttargettype\n"
    "id1/rec/00001.wav\tid2/rec/0002.wav\ta\ttarget\nid1/rec/00001.wav\tb\ta\tnontarget\n",
}


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "trials.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", LISTS)
def test_formats(name: str, tmp_path: Path) -> None:
    trials = read_trials(str(write(tmp_path, LISTS[name])))
    assert trials.enrolment == ("id1/rec/00001.wav", "id1/rec/00001.wav")
    assert trials.test == ("id2/rec/0002.wav", "b")
    assert trials.targets is not None
    assert trials.targets.tolist() == [True, False]


@pytest.mark.parametrize("text", ["enroll,test\na,b\na,c\n", "a\tb\na\tc\n", "a b\na c"])
def test_labels_may_be_missing(text: str, tmp_path: Path) -> None:
    trials = read_trials(write(tmp_path, text))
    assert (trials.enrolment, trials.test, trials.targets) == (("a", "a"), ("b", "c"), None)


def test_names_may_hold_blanks_and_commas(tmp_path: Path) -> None:
    trials = read_trials(write(tmp_path, "1\ta b.wav\tc, d.wav\n0\ta b.wav\te.wav\n"))
    assert (trials.enrolment, trials.test) == (("a b.wav", "a b.wav"), ("c, d.wav", "e.wav"))
    trials = read_trials(write(tmp_path, "1 a,b.wav c,d.wav\n0 a,b.wav e.wav\n"))
    assert (trials.enrolment, trials.test) == (("a,b.wav", "a,b.wav"), ("c,d.wav", "e.wav"))


def test_names_may_look_like_labels_if_other_lines_are_unambiguous(tmp_path: Path) -> None:
    trials = read_trials(write(tmp_path, "1 a 1\n0 1 b\n"))
    assert (trials.enrolment, trials.test) == (("a", "1"), ("1", "b"))
    trials = read_trials(write(tmp_path, "1 a 1\nb 1 0\n"))
    assert (trials.enrolment, trials.test) == (("1", "b"), ("a", "1"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 a b\n2 a b\n", r"trials.txt: line 2: found '2 a b', expected 'label enrollment test'"),
        ("1 a b\n0 a\n", r"trials.txt: line 2: found '0 a', expected"),
        ("1,a,b\n0,a\n", r"trials.txt: line 2: found '0,a', expected"),
        ("a b target extra\n", r"trials.txt: line 1: found 'a b target extra'"),
        ("a b\na b target\n", r"trials.txt: line 2: found 'a b target'"),
        ("1 a 1\n0 b 0\n", r"line 1: found '1 a 1', whose label could be the first or the last column"),
        ("1 a b\n1 a c\n", r"trials.txt: found 2 target and 0 non-target trials, expected some of both"),
        ("", r"trials.txt: found no trials, expected lines of"),
        ("# nothing\n\n", r"found no trials"),
        ("enroll test label\n", r"found no trials"),
        ("1,a,\x00b\n0,a," + 200_000 * "c", r"trials.txt: line 2: found '0,a,c"),
        (b"\xff\xfe\x00", r"trials.txt: not UTF-8 text"),
        (None, r"trials.txt: cannot be read: No such file"),
    ],
)
def test_what_is_not_a_list(content: str | bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.txt"
    if content is not None:
        write(tmp_path, content)
    with pytest.raises(UserError, match=message) as error:
        read_trials(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 800


def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trials.txt")
    with pytest.raises(UserError, match="named pipe"):
        read_trials(tmp_path / "trials.txt")


@given(st.text(alphabet="01ab \t,;#\n\r\"'", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), text)
    try:
        trials = read_trials(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len(trials.enrolment) == len(trials.test) > 0
        assert all((*trials.enrolment, *trials.test))

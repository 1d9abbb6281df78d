"""Replace names in transcripts; everything else stays as it was."""

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations import writing
from annotations.test_formats import NAMES, QUICK, WITH_BLANKS, turns, write
from annotations.writing import WRITERS, Turn
from speakerid.annotations.formats import format_of, read_annotation
from speakerid.annotations.rewriting import rewritten
from speakerid.annotations.turns import read_text

FORMS = [form for form, (ending, _) in WRITERS.items() if ending in (".rttm", ".srt", ".vtt", ".json")]


def replaced(path: Path, names: dict[str, str]) -> bytes:
    """Content of a transcript with other names."""
    text, labels = read_text(path), read_annotation(path).labels
    new = [names.get(label.name or "") for label in labels]
    return text.encoded(rewritten(text.content, str(format_of(path)), labels, new))


@pytest.mark.parametrize("form", FORMS)
@given(written=turns(), data=st.data())
@QUICK
def test_new_names_are_read_back_and_old_ones_give_the_old_bytes(
    tmp_path: Path, form: str, written: list[Turn], data: st.DataObject
) -> None:
    ending, write_ = WRITERS[form]
    path = write(tmp_path, f"m{ending}", write_(written))
    before = path.read_bytes()
    old = list(dict.fromkeys(speaker for _, _, speaker in written))
    names = NAMES if ending in (".rttm", ".srt") else NAMES | WITH_BLANKS
    new = data.draw(st.lists(names, min_size=len(old), max_size=len(old), unique=True))
    path.write_bytes(replaced(path, dict(zip(old, new, strict=True))))
    renamed = dict(zip(old, new, strict=True))
    expected = sorted((start, end, renamed[speaker]) for start, end, speaker in written)
    found = read_annotation(path)
    assert sorted((round(one.start, 3), round(one.end, 3), one.speaker) for one in found.turns) == expected
    assert all(label.name in new for label in found.labels)  # those of words, too
    back = replaced(path, dict(zip(new, old, strict=True)))
    # JSON may lose its only \\u escape, which says how to write names.
    assert back == before or (b"\\u" in before and json.loads(back) == json.loads(before))


def test_a_transcript_keeps_its_spaces_numbers_order_and_encoding(tmp_path: Path) -> None:
    text = (
        '{ "language":"en",\r\n\t"segments" : [{"speaker" : "SPEAKER_00", "start":1.50, "end":2e0,'
        '"text":"\\"speaker\\": \\"SPEAKER_00\\" \\u2013", "words": [{"word": "a", "speaker":"SPEAKER_00"}]}], '
        '"speaker_embeddings": {"SPEAKER_00": [1.0]}}\r\n'
    )
    path = tmp_path / "m.json"
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    changed = replaced(path, {"SPEAKER_00": "Zoë"}).removeprefix(codecs.BOM_UTF8).decode()
    old, new = '"SPEAKER_00"', '"Zo\\u00eb"'  # the transcript has ASCII only
    assert changed == text.replace(f'"speaker" : {old}', f'"speaker" : {new}').replace(
        f'"speaker":{old}', f'"speaker":{new}'
    )
    assert json.loads(changed)["segments"][0]["speaker"] == "Zoë"


def test_names_are_added_where_there_are_none(tmp_path: Path) -> None:
    written = [(1.0, 2.0, "x"), (3.0, 4.0, "y")]
    for ending, prefix in ((".srt", "Ann Lee: "), (".vtt", "<v Ann Lee>")):
        plain = writing.srt(written, "").replace(",", "." if ending == ".vtt" else ",")
        path = write(tmp_path, f"m{ending}", plain)
        labels = read_annotation(path).labels
        assert [label.name for label in labels] == [None, None]
        found = rewritten(plain, ending[1:], labels, ["Ann Lee", None])
        assert found == plain.replace("well", f"{prefix}well", 1)


def test_names_are_escaped_as_the_format_needs(tmp_path: Path) -> None:
    path = write(tmp_path, "m.vtt", writing.vtt([(1, 2, "A")]))
    path.write_bytes(replaced(path, {"A": "B & C\n-->"}))
    assert b"<v B &amp; C\\n--&gt;>" in path.read_bytes()
    (found,) = read_annotation(path).turns
    assert found.speaker == "B & C\\n-->"

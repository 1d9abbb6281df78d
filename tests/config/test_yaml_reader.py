"""Any YAML file is read as settings or gives an error of one line."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.base.errors import UserError
from speakerid.config import load_config
from speakerid.config.yaml_reader import MAX_VALUES, parse_yaml, read_yaml

BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])
MERGE_BOMB = "\n".join(["- &a0 {k: v}", *(f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9))])
HOSTILE = {
    "a false tag": ("run_dir: !!bool maybe", "line 1, column 10: found the tag 'tag:yaml.org,2002:bool'"),
    "an empty number": ("run_dir: !!float ''", "found the tag"),
    "a timestamp": ("run_dir: !!timestamp x", "found the tag"),
    "binary": ("run_dir: !!binary x", "found the tag"),
    "a set": ("run_dir: !!set {a}", "found the tag"),
    "code": ("run_dir: !!python/object/apply:os.system [ls]", "found the tag"),
    "a tag of its own": ("run_dir: !mine x", "found the tag '!mine'"),
    "no tag": ("run_dir: ! x", "found the tag '!'"),
    "a tag on a key": ("!!str run_dir: x", "found the tag"),
    "deep lists": ("a: " + "[" * 3_000, "nest"),
    "deep mappings": ("{a: " * 3_000, "nested more than 32 deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(100)), "nested more than 32 deep"),
    "aliases of aliases": (BOMB, f"more than {MAX_VALUES:,} values"),
    "merged aliases of aliases": (MERGE_BOMB, f"more than {MAX_VALUES:,} values"),
    "an alias of itself": ("a: &a [*a]", "the alias *a has no complete anchor before it"),
    "an alias of nothing": ("a: *b", "b"),
    "many keys": ("\n".join(f"k{n}: 1" for n in range(30_000)), f"more than {MAX_VALUES:,} values"),
    "a key written twice": ("a: 1\nb: 2\na: 3", "line 3, column 1: duplicate key 'a'"),
    "a number as a key": ("1: 2", "found 1 as a key, expected a name"),
    "nothing as a key": ("? \n: 2", "as a key, expected a name"),
    "yes as a key": ("yes: 2", "found yes as a key"),
    "a day as a key": ("2026-01-01: 2", "found 2026-01-01 as a key"),
    "a list as a key": ("? [a]\n: 2", "found a sequence as a key"),
    "a mapping as a key": ("{{a: b}: 2}", "found a mapping as a key"),
    "no such day": ("seed: 2001-02-30", "day"),
    "no such hour": ("seed: 2001-02-20 99:99:99", ""),
    "no digits": ("seed: 0x_", ""),
    "more digits than Python reads": ("seed: " + "9" * 5_000, ""),
    "a tab": ("a:\n\tb: 1", "line 2"),
    "a zero byte": ("a: \0", ""),
    "two documents": ("a: 1\n---\nb: 2", ""),
    "an anchor without a name": ("a: & b", "line 1"),
    "a directive": ("%YAML 9.9\n---\na: 1", ""),
    "an escape of nothing": ('a: "\\q"', "line 1"),
    "an unknown handle": ("a: !x!y z", ""),
    "a merge of text": ("a: {<<: text}", "line 1"),
    "a merge of itself": ("a: &a {<<: *a}", "the alias *a"),
    "a value": ("= : 1\n=: 2", ""),
}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as refused:
        read_yaml(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < 1_000
    return message


@pytest.mark.parametrize(("text", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_invalid_settings_are_refused_in_one_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    assert expected in refusal(path).removeprefix(f"{path}: not valid YAML: ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("seed: 1".encode("utf-16"), "found UTF-16, expected text in UTF-8"),
        (b"seed: \xff", "found byte 0xff, expected text in UTF-8"),
        (b"\x80\x04\x95", "found byte 0x80, expected text in UTF-8"),
        (b"#" * (1 << 20) + b"\nseed: 1", "found more than 1,048,576 bytes, expected settings"),
    ],
)
def test_content_that_is_not_text_is_named(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    assert expected in refusal(tmp_path / "x.yaml")


def test_paths_that_are_not_files_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "found a named pipe, expected a regular file" in refusal(tmp_path / "pipe")
    assert "found a folder, expected a regular file" in refusal(tmp_path)


def test_a_byte_order_mark_anchors_and_merges_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: &base {a: 1, b: [2]}\nmore: {<<: *base, a: 3}\nagain: *base", encoding="utf-8-sig")
    base: dict[str, Any] = {"a": 1, "b": [2]}
    assert read_yaml(path) == {"base": base, "more": {**base, "a": 3}, "again": base}


def test_names_of_files_that_are_not_utf_8_are_read_back(tmp_path: Path) -> None:
    content = {"run_dir": os.fsdecode(b"caf\xe9"), "more": [1]}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    assert read_yaml(tmp_path / "x.yaml") == content


def test_thousands_of_unknown_keys_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("run_dir: x\n" + "\n".join(f"seed{n}: 1" for n in range(4_000)))
    with pytest.raises(UserError, match=r"^[^\n]+seed0: unknown setting; did you mean 'seed'.*and 3981 more$"):
        load_config(path)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None, max_examples=20)
@given(content=plain)
def test_what_yaml_writes_is_read_back(content: object) -> None:
    assert parse_yaml(yaml.safe_dump(content)) == content


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.sampled_from("ab1-:?&*!|>%@`'\"#{}[],.~= \n\t\\\0é\ufeff"), max_size=30) | st.text(max_size=30))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    with suppress(UserError):
        parse_yaml(text)

"""Kept prints: what is written can be read, a person can be forgotten, and hostile content is refused."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recognition.bundles import Trained, prints
from recognition.hostile import rewrite
from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.kept_prints import Base, Correction, KeptPrint, KeptPrints

NAMES = ["Ann", "Ben", "Carl"]
names = st.sampled_from(NAMES)
times = st.integers(0, 10**7).map(lambda tenths: tenths / 10)


def voice(seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=4).astype(np.float32)
    return found / np.linalg.norm(found)


@st.composite
def kept(draw: st.DrawFn) -> KeptPrints:
    count = draw(st.integers(0, 4))
    who = st.tuples(names, st.none() | names)
    corrections = tuple(Correction(n + 1, draw(st.integers(-9, 9)), 0.0, 1.0, *draw(who)) for n in range(count))
    rows = []
    for seed in range(draw(st.integers(0, 6))):
        start = draw(times)
        end = draw(st.just(math.inf) | times.map(lambda length, start=start: start + length + 0.1))
        by = draw(st.integers(0, count)), draw(st.integers(0, count))
        rows.append(KeptPrint(draw(names), voice(seed), draw(st.integers(-(2**63), 2**63 - 1)), start, end, 1.5, *by))
    base = Base(np.ones((3, 4), np.float32), np.array([1, 0, 0]))
    return KeptPrints(tuple(rows), dict.fromkeys(draw(st.sets(names)), base), corrections)


@given(kept())
def test_what_is_written_can_be_read(some: KeptPrints) -> None:
    again = KeptPrints.of_arrays(some.arrays(NAMES), NAMES, some.corrections)
    assert [one.key for one in again.prints] == [one.key for one in some.prints]
    assert [(one.seconds, one.removed_by) for one in again.prints] == [(1.5, one.removed_by) for one in some.prints]
    for one, other in zip(again.prints, some.prints, strict=True):
        np.testing.assert_array_equal(one.voice_print, other.voice_print)
    assert again.bases.keys() == some.bases.keys()


@given(kept(), names)
def test_nothing_is_left_of_a_person(some: KeptPrints, name: str) -> None:
    left = some.without(name)
    mine = {one.number for one in some.corrections if one.name == name}
    assert name not in {one.name for one in left.prints} | left.bases.keys()
    assert name not in {text for one in left.corrections for text in (one.name, one.former)}
    assert not mine & {number for one in left.prints for number in (one.added_by, one.removed_by)}
    others = [one for one in some.prints if one.name != name and not one.removed_by]
    assert len([one for one in left.prints if not one.removed_by]) == len(others)  # other profiles do not change
    renamed = some.renamed(name, "Dora")
    assert [one.key for one in renamed.renamed("Dora", name).prints] == [one.key for one in some.prints]
    assert name not in {one.name for one in renamed.prints} | renamed.bases.keys()


def test_turns_of_a_recording_are_one_clip() -> None:
    rows = [
        KeptPrint("Ann", voice(0), 7, 0, 3, 3.0), KeptPrint("Ann", voice(1), 7, 5, 6, 1.0),
        KeptPrint("Ann", voice(2), 8), KeptPrint("Ann", voice(3)), KeptPrint("Ann", voice(4)),
        KeptPrint("Ann", voice(5), 9, removed_by=1), KeptPrint("Ben", voice(6), 7, 3, 5, 2.0),
    ]  # fmt: skip
    clips = KeptPrints(tuple(rows)).clips("Ann")
    mean = 0.75 * voice(0) + 0.25 * voice(1)
    assert len(clips) == 4
    assert min(np.abs(clips - mean / np.linalg.norm(mean)).max(1)) < 1e-6
    assert rows[0].overlaps(7, 2.5, 9)
    assert not rows[0].overlaps(7, 3, 9)
    assert not rows[3].overlaps(0, 0, 9)  # an unknown recording is not this one


def rows(column: int, value: int) -> Callable[[dict, dict], object]:
    def change(_: dict, tensors: dict) -> None:
        tensors["print_rows"] = tensors["print_rows"].clone()
        tensors["print_rows"][0, column] = value

    return change


def array(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[dict, dict], object]:
    return lambda _, tensors: tensors.update({name: change(tensors[name]).contiguous()})


HOSTILE: dict[str, Callable[[dict, dict], object]] = {
    "a speaker that is not there": rows(0, 99),
    "a time before the beginning": rows(2, -5),
    "an end before the start": rows(3, 0),
    "a duration below 0": rows(4, -1),
    "no such correction": rows(5, 3),
    "fewer rows": array("print_rows", lambda found: found[:1]),
    "no rows": lambda _, tensors: tensors.pop("print_rows"),
    "other width": array("prints", lambda found: found[:, 1:]),
    "not finite": array("prints", lambda found: found * math.inf),
    "a base without clips": array("base_clips", lambda found: 0 * found),
    "a base of no speaker": array("base_speakers", lambda found: found - 99),
    "an unknown name": lambda content, _: content["corrections"][0].update(name="Zoe"),
    "the same number": lambda content, _: content["corrections"].append(content["corrections"][0]),
    "a turn that ends early": lambda content, _: content["corrections"][0].update(end=-1.0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_have_been_written_is_refused(trained: Trained, tmp_path: Path, name: str) -> None:
    first = trained.bundle.profiles.names[0]
    bundle = trained.bundle.enrolled("Ann", prints(trained.bundle)).enrolled(first, prints(trained.bundle, 1), (), True)
    turn = KeptPrint(first, prints(bundle, 1, 5)[0], 3, 1.0, 2.0, 1.0, added_by=1)
    some = replace(
        bundle.kept, prints=(*bundle.kept.prints, turn), corrections=(Correction(1, 3, 1.0, 2.0, first, None),)
    )
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    replace(bundle, kept=some).save(path)
    assert len(Bundle.load(path).kept.prints) == 5
    rewrite(path, other, HOSTILE[name])
    with pytest.raises(UserError) as error:
        Bundle.load(other)
    assert "\n" not in str(error.value)

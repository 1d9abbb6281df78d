"""Bundles are written atomically, preserve their content, and are rejected if damaged."""

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load, save
from safetensors.torch import save_file

from processes import FORKS
from recognition.bundles import Trained, enroll_for_ever, enroll_somebody, prints
from recognition.hostile import extra, rewrite
from speakerid.base.errors import UserError
from speakerid.config.model import ModelConfig
from speakerid.recognition.bundle import FORMAT, Bundle
from speakerid.recognition.bundle_file import add_tensors


@pytest.fixture
def path(trained: Trained, tmp_path: Path) -> Path:
    copy = tmp_path / "speaker.safetensors"
    copy.write_bytes(trained.path.read_bytes())
    return copy


def test_what_is_read_is_what_was_written(trained: Trained) -> None:
    read, made = Bundle.load(trained.path), trained.bundle
    assert read.profiles.names == made.profiles.names
    assert np.array_equal(read.profiles.centers, made.profiles.centers)
    assert read.expected == made.expected
    assert read.card == made.card
    for name, tensor in made.weights.items():
        assert np.array_equal(read.weights[name], tensor)
    scores = made.profiles.ranked(prints(made))[1]
    assert np.array_equal(read.profiles.ranked(prints(made))[1], scores)
    for seconds in (0.3, 1.0, 1.7, 60.0):
        assert np.array_equal(
            read.identification.log_odds(scores, seconds), made.identification.log_odds(scores, seconds)
        )


def test_thresholds_are_those_of_the_voices_a_bundle_holds_after_any_change(trained: Trained) -> None:
    changed = trained.bundle.enrolled("Zoe", prints(trained.bundle)).forgotten("Zoe")
    assert np.allclose(
        changed.identification.thresholds.log_odds, trained.bundle.identification.thresholds.log_odds, atol=1e-6
    )


def test_nothing_is_executed_and_there_is_no_pickle_inside(trained: Trained) -> None:
    with safe_open(trained.path, "pt") as file:
        assert json.loads(file.metadata()["speakerid"])["format"] == FORMAT
        assert all(tensor.dtype in (torch.float32, torch.float16, torch.int32, torch.int64)
                   for tensor in map(file.get_tensor, file.keys()))  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(path: Path, trained: Trained, place: float, bit: int) -> None:
    content = bytearray(trained.path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"speaker\.safetensors: "):
        Bundle.load(path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_bundle_is_refused(path: Path, trained: Trained, share: float) -> None:
    content = trained.path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"damaged, or not a safetensors file|found an empty file"):
        Bundle.load(path)


def test_a_name_changed_by_hand_is_refused(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"demo0000") > 1
    path.write_bytes(content.replace(b"demo0000", b"mallory0", 1))
    with pytest.raises(UserError, match="changed after it was written"):
        Bundle.load(path)


def test_other_safetensors_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="without a 'speakerid' text"):
        Bundle.load(path)
    save_file({"weight": torch.zeros(2)}, path, {"speakerid": json.dumps({"format": "speakerid bundle 99"})})
    with pytest.raises(UserError, match="found format 'speakerid bundle 99', expected 'speakerid bundle 2'"):
        Bundle.load(path)
    with pytest.raises(UserError, match="`speakerid export` makes a bundle"):
        Bundle.load(tmp_path / "missing.safetensors")


def test_writers_at_the_same_time_lose_nothing(path: Path, trained: Trained) -> None:
    names = [f"guest{number}" for number in range(4)]
    writers = [FORKS.Process(target=enroll_somebody, args=(path, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert set(Bundle.load(path).profiles.names) == {*trained.bundle.profiles.names, *names}


def test_a_kill_at_any_moment_leaves_a_whole_bundle(path: Path, trained: Trained) -> None:
    for wait in (0.0, 0.005, 0.03):
        writer = FORKS.Process(target=enroll_for_ever, args=(path,))
        before = path.stat().st_mtime_ns
        writer.start()
        while path.stat().st_mtime_ns == before and writer.is_alive():
            time.sleep(0.001)
        time.sleep(wait)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        bundle = Bundle.load(path)
        enrolled = len(bundle.profiles.names) - len(trained.bundle.profiles.names)
        assert enrolled > 0
        path.write_bytes(trained.path.read_bytes())
    enroll_somebody(path, "afterwards")  # the lock went with its holder
    assert "afterwards" in Bundle.load(path).profiles.names


def test_names_are_checked(trained: Trained) -> None:
    bundle = trained.bundle
    first = bundle.profiles.names[0]
    with pytest.raises(UserError, match="is enrolled already"):
        bundle.enrolled(first, prints(bundle))
    with pytest.raises(UserError, match="is enrolled already"):
        bundle.renamed(bundle.profiles.names[1], first)
    with pytest.raises(UserError, match=f"did you mean '{first}'"):
        bundle.forgotten(first + "x")
    for bad in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(UserError, match="expected 1 to 100 printable characters"):
            bundle.enrolled(bad, prints(bundle))


def test_forgetting_deletes_every_voice_print(trained: Trained) -> None:
    name = trained.bundle.profiles.names[0]
    mine = trained.bundle.evidence[0].known[trained.bundle.evidence[0].speakers == name]
    assert len(mine)
    bundle = trained.bundle.forgotten(name)
    assert name not in bundle.profiles.names
    for some in bundle.evidence:
        assert name not in some.speakers
        assert not (some.known[:, None] == mine[None]).all(-1).any()


def test_renaming_changes_nothing_else(trained: Trained) -> None:
    old = trained.bundle.profiles.names[0]
    bundle = trained.bundle.renamed(old, "Anna")
    assert bundle.profiles.names == ("Anna", *trained.bundle.profiles.names[1:])
    assert bundle.evidence[0].speakers.tolist().count("Anna") == trained.bundle.evidence[0].speakers.tolist().count(old)
    assert bundle.expected == trained.bundle.expected


def test_a_bundle_of_a_version_that_had_fewer_settings_opens(trained: Trained, tmp_path: Path) -> None:
    """Its checksum is that of the written text, without settings that this version adds."""
    blob = trained.path.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header, tensors = json.loads(blob[8 : 8 + length]), load(blob)
    text = header["__metadata__"]["speakerid"]
    content = json.loads(text)
    fields = ModelConfig.model_fields.items()
    del content["model"][next(name for name, field in fields if content["model"][name] == field.default)]
    content["digest"] = ""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode())
    add_tensors(digest, tensors)
    text = text.replace('"digest":""', f'"digest":"{digest.hexdigest()}"', 1)
    path = tmp_path / "former.safetensors"
    path.write_bytes(save(tensors, {"speakerid": text}))
    assert Bundle.load(path).profiles.names == trained.bundle.profiles.names
    damaged = text.replace(trained.bundle.profiles.names[0], "Anna", 1)
    path.write_bytes(save(tensors, {"speakerid": damaged}))
    with pytest.raises(UserError, match="checksum"):
        Bundle.load(path)


def test_a_bundle_with_the_correction_of_an_earlier_version_opens(trained: Trained, tmp_path: Path) -> None:
    """It was a number, subtracted from the score of the utterance's own speaker."""
    path = tmp_path / "former.safetensors"
    rewrite(trained.path, path, extra("evidence.0.flattery", torch.tensor(0.25)))
    corrections = Bundle.load(path).evidence[0].corrections
    assert corrections.tolist() == [[-0.25, 0.0]] * len(trained.bundle.evidence[0].known)

"""A recognizer whose bundle another program changes, replaces or exports again."""

import os
from pathlib import Path

import numpy as np
import pytest

from recognition.bundles import Trained, with_other_encoder
from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import OtherEncoder


def test_an_unchanged_bundle_is_not_read_again(bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    before = recognizer.bundle
    assert not recognizer.reload_if_changed()
    assert recognizer.bundle is before
    assert not Recognizer(before).reload_if_changed()


def test_what_another_program_forgot_is_forgotten_here_too(trained: Trained, bundle: Path) -> None:
    here, there = Recognizer.load(bundle), Recognizer.load(bundle)
    name = trained.bundle.profiles.names[0]
    there.forget(name)
    assert not there.reload_if_changed()
    assert here.reload_if_changed()
    assert name not in here.speakers
    assert name not in [found for found, _ in here.identify(trained.clips(name)[0], top=10).ranking]
    assert not here.reload_if_changed()


def test_a_bundle_replaced_by_one_of_the_same_size_and_time_is_noticed(trained: Trained, bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    status = bundle.stat()
    other = bundle.with_name("other.safetensors")
    with_other_encoder(trained.bundle).save(other)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(bundle)
    assert recognizer.reload_if_changed()


def test_a_bundle_that_is_gone_or_damaged_leaves_the_former_in_use(trained: Trained, bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    content = bundle.read_bytes()
    for damage in (bundle.unlink, lambda: bundle.write_bytes(content[:1000])):
        damage()
        with pytest.raises(UserError, match="speaker"):
            recognizer.reload_if_changed()
        assert recognizer.speakers == trained.bundle.profiles.names
    bundle.write_bytes(content)
    assert recognizer.reload_if_changed()


def test_enrolling_after_a_new_export_uses_the_new_encoder(trained: Trained, bundle: Path, tmp_path: Path) -> None:
    clips = trained.clips(trained.stranger)[:3]
    recognizer = Recognizer.load(bundle)
    recognizer.identify(clips[0])
    with_other_encoder(trained.bundle).save(bundle)
    recognizer.enroll("Zoe", clips)
    fresh = Recognizer(with_other_encoder(trained.bundle))
    fresh.enroll("Zoe", clips)
    written = Bundle.load(bundle).profiles
    assert written.names[-1] == "Zoe"
    assert np.allclose(written.centers[-1], fresh.bundle.profiles.centers[-1], atol=1e-6)
    assert recognizer.identify(clips[0]) == Recognizer.load(bundle).identify(clips[0])


def test_voices_of_the_former_encoder_are_refused_in_one_line(trained: Trained, bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    voice = recognizer.listen(trained.clips(trained.stranger)[0])
    new = with_other_encoder(trained.bundle)
    new.save(bundle)
    before = bundle.read_bytes()
    with pytest.raises(OtherEncoder, match="exported from another training; give the recording again"):
        recognizer.learn("Zoe", [voice])
    assert bundle.read_bytes() == before
    with pytest.raises(OtherEncoder):
        recognizer.answer(voice)
    assert recognizer.bundle.encoder == new.encoder != voice.encoder


def test_the_fingerprint_is_of_the_encoder_alone(trained: Trained, bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    before = recognizer.bundle.encoder
    recognizer.enroll("Zoe", trained.clips(trained.stranger)[:1])
    recognizer.rename("Zoe", "Anna")
    recognizer.forget(trained.bundle.profiles.names[0])
    assert Bundle.load(bundle).encoder == before == trained.bundle.encoder
    assert with_other_encoder(trained.bundle).encoder != before

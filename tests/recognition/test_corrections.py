"""Turns are corrected and strangers enrolled: the timeline honors it, profiles follow, and undoing restores them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recognition.bundles import Trained, prints
from speakerid.audio.decode import decode, write_wav
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.cli.correct import seconds_of
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Segment

RATE = 16_000


@pytest.fixture(scope="module")
def meeting(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of silence, then a known speaker and two strangers in turn, 5 s each with pauses of a second."""
    guests = sorted({path.name for path in trained.recordings.iterdir()} - set(trained.bundle.profiles.names))
    pause, samples = np.zeros(RATE, np.float32), [np.zeros(RATE, np.float32)]
    for name in (trained.bundle.profiles.names[0], *guests, guests[0]):
        clips = np.concatenate([decode(clip).waveform for clip in trained.clips(name)])
        samples += [np.resize(clips, 5 * RATE), pause]
    path = tmp_path_factory.mktemp("meeting") / "meeting.wav"
    write_wav(path, np.concatenate(samples), RATE)
    return path


@pytest.fixture
def talk(meeting: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(meeting, tmp_path / "meeting.wav"))


def at(segments: list[Segment], moment: float) -> Segment:
    return next(s for s in segments if s.start <= moment < s.end)


def same_profiles(one: Bundle, other: Bundle) -> bool:
    a, b = one.profiles, other.profiles
    return (
        (a.names, a.clips, a.trained, a.recordings) == (b.names, b.clips, b.trained, b.recordings)
        and np.array_equal(a.centers, b.centers)
        and np.array_equal(a.center_clips, b.center_clips)
        and one.kept.arrays(a.names).keys() == other.kept.arrays(a.names).keys()
        and one.kept.corrections == other.kept.corrections
    )


@pytest.mark.parametrize("rate", [None, 0.001])
def test_a_corrected_turn_keeps_its_name(trained: Trained, bundle: Path, talk: Path, rate: float | None) -> None:
    recognizer, names = Recognizer.load(bundle), trained.bundle.profiles.names
    turn = recognizer.timeline(talk, false_accepts=rate)[-1]
    other = next(name for name in names if name != turn.name)
    moment = (turn.start + turn.end) / 2
    correction = recognizer.correct(talk, moment, other, false_accepts=rate)
    assert (correction.name, correction.former, correction.source) == (other, turn.name, str(talk))
    for again in (recognizer, Recognizer.load(bundle)):
        for seen in (None, 0.001, 0.5):  # whatever the rule says
            cut = [s for s in again.timeline(talk, false_accepts=seen) if s.start < turn.end and turn.start < s.end]
            assert {s.name for s in cut} == {other}
            assert min(s.start for s in cut) <= turn.start < turn.end <= max(s.end for s in cut)
    sound = decode(talk)
    assert at(recognizer.timeline(sound.waveform, sound.sample_rate), moment).name == other
    recognizer.rename(other, "Somebody Else")
    assert at(Recognizer.load(bundle).timeline(talk), moment).name == "Somebody Else"
    recognizer.forget("Somebody Else")
    changed = Bundle.load(bundle)
    assert changed.kept.corrections == changed.kept.prints == ()
    with pytest.raises(UserError, match="nothing to undo"):
        Recognizer.load(bundle).undo()


def test_undoing_restores_every_profile(trained: Trained, bundle: Path, talk: Path) -> None:
    recognizer, name = Recognizer.load(bundle), trained.bundle.profiles.names[1]
    recognizer.enroll("Whole", talk)  # all voices of the meeting are in one profile
    states = [Bundle.load(bundle)]
    moments = [(s.start + s.end) / 2 for s in recognizer.timeline(talk) if s.end - s.start > 1]
    before = recognizer.timeline(talk)
    for moment, who, new in ((moments[0], name, False), (moments[-1], "Zoe", True), (moments[0], "Zoe", False)):
        recognizer.correct(talk, moment, who, new=new)
        states.append(Bundle.load(bundle))
    names = [one.kept.active("Whole") for one in states]
    assert [len(some) for some in names][:2] in ([1, 1], [1, 2])  # what is left of the recording, in one or two parts
    assert not any(one.overlaps(one.recording, moments[0], moments[0] + 1e-3) for one in names[1])
    assert [one.name for one in states[3].kept.prints if not one.removed_by].count("Zoe") == 2
    assert not states[3].kept.active(name)
    np.testing.assert_array_equal(states[3].profiles.centers[1], trained.bundle.profiles.centers[1])  # trained alone
    for former in reversed(states[:-1]):
        Recognizer.load(bundle).undo()
        assert same_profiles(Bundle.load(bundle), former)
    assert Recognizer.load(bundle).timeline(talk) == before
    with pytest.raises(UserError, match="nothing to undo"):
        Recognizer.load(bundle).undo()


def test_a_stranger_is_enrolled_by_number(trained: Trained, bundle: Path, talk: Path) -> None:
    recognizer = Recognizer.load(bundle)
    segments = recognizer.timeline(talk, false_accepts=0.001)
    number = max(s.stranger or 0 for s in segments)
    turns = [s for s in segments if s.stranger == number and s.end - s.start > 1]
    enrollment = recognizer.enroll_stranger("Zoe", talk, f"stranger {number}", false_accepts=0.001)
    assert (enrollment.name, enrollment.added, enrollment.recordings) == ("Zoe", 1, 1)
    kept = Bundle.load(bundle).kept.active("Zoe")
    np.testing.assert_allclose([(s.start, s.end) for s in turns], [(one.start, one.end) for one in kept], atol=1e-5)
    with pytest.raises(UserError, match="stranger 99: not in the timelines of these recordings, which have stranger 1"):
        recognizer.enroll_stranger("Ann", talk, 99, false_accepts=0.001)
    with pytest.raises(UserError, match="speaker: found 'Ann', expected a stranger"):
        recognizer.enroll_stranger("Ann", talk, "Ann")
    *others, last = [(one.start + one.end) / 2 for one in turns]
    for moment in others:
        recognizer.correct(talk, moment, "Ann", new="Ann" not in recognizer.speakers, false_accepts=0.001)
    with pytest.raises(UserError, match="Zoe: enrolled from this turn alone"):
        recognizer.correct(talk, last, recognizer.speakers[0], false_accepts=0.001)
    recognizer.forget("Zoe")
    assert {one.name for one in Bundle.load(bundle).kept.prints} <= {"Ann"}


def test_what_a_correction_cannot_do(trained: Trained, bundle: Path, talk: Path, tmp_path: Path) -> None:
    recognizer, names = Recognizer.load(bundle), trained.bundle.profiles.names
    segments = recognizer.timeline(talk)
    moment = segments[0].start + 0.1
    known = next(name for name in names if name != segments[0].name)
    for error, arguments in {
        r"meeting\.wav: no one speaks at 0:00:00\.10; the nearest turns are 0:00:0": (talk, 0.1, names[0]),
        "'Nobodyy': no speaker has this name; .*--new": (talk, moment, "Nobodyy"),
        f"'{names[0][:-1]}': no speaker has this name; did you mean": (talk, moment, names[0][:-1]),
        "expected seconds from the beginning": (talk, float("nan"), known),
        r"nowhere\.wav: ": (tmp_path / "nowhere.wav", 1.0, known),
    }.items():
        with pytest.raises(UserError, match=error):
            recognizer.correct(*arguments)
    with pytest.raises(UserError, match="is enrolled already; leave out --new"):
        recognizer.correct(talk, moment, known, new=True)
    assert bundle.read_bytes() == trained.path.read_bytes()
    recognizer.correct(talk, moment, known)
    with pytest.raises(UserError, match=f"is '{known}' already"):
        recognizer.correct(talk, moment, known)
    write_wav(talk, decode(talk).waveform[: 6 * RATE], RATE)
    with pytest.raises(UserError, match=r"meeting\.wav: has changed since 1 of its turns was corrected"):
        recognizer.correct(talk, moment, names[2])
    assert oct(os.stat(bundle).st_mode)[-3:] == "600"


def test_the_commands(trained: Trained, bundle: Path, talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identify", str(bundle), str(talk), "--timeline"]) == 0
    before = capsys.readouterr().out
    start = Recognizer.load(bundle).timeline(talk)[-1].start
    assert run(["correct", str(bundle), str(talk), f"0:{start + 0.05:.2f}", "Zoe", "--new"]) == 0
    assert "meeting.wav: 0:00:" in (said := capsys.readouterr().out)
    assert ": Zoe, was " in said
    assert run(["identify", str(bundle), str(talk), "--timeline"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("100.0%  Zoe")
    assert run(["speakers", str(bundle)]) == 0
    assert "enrolled, 1 turn corrected" in capsys.readouterr().out
    assert run(["correct", str(bundle), "--undo"]) == 0
    assert capsys.readouterr().out.endswith(": no longer Zoe\n")
    assert run(["identify", str(bundle), str(talk), "--timeline"]) == 0
    assert capsys.readouterr().out == before
    for arguments in (["correct", str(bundle)], ["correct", str(bundle), str(talk), "1", "Zoe", "--undo"]):
        with pytest.raises(UserError, match="--undo"):
            run(arguments)
    for options in (["--from", str(talk)], ["--speaker", "stranger 1"], [], [str(talk), "--false-accepts", "0.1"]):
        with pytest.raises(UserError, match="--from"):
            run(["enroll", str(bundle), "Zoe", *options])


@pytest.mark.parametrize(
    ("text", "seconds"), [("12:03", 723), ("1:02:03.5", 3723.5), ("723", 723), ("90.25", 90.25), ("75:00", 4500)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "12:3:", "1:75", "1:75:00", "-3", "12.5:03", "nan", "1:2:3:4", "12:03 pm"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="TIME: found"):
        seconds_of(text)


def test_former_bundles_load_and_keep_their_centers(trained: Trained, bundle: Path, talk: Path) -> None:
    """Enrolled by an earlier version, which kept no single prints: they are the base of what is added later."""
    former = trained.bundle.enrolled("Zoe", prints(trained.bundle, 5))
    former = replace(former, kept=trained.bundle.kept)
    former.save(bundle)
    recognizer = Recognizer.load(bundle)
    assert recognizer.bundle.kept.prints == ()
    turn = recognizer.timeline(talk)[0]
    if turn.name == "Zoe":
        turn = recognizer.timeline(talk)[-1]
    recognizer.correct(talk, (turn.start + turn.end) / 2, "Zoe")
    assert Bundle.load(bundle).profiles.clips[-1] in (5, 6)
    recognizer.undo()
    assert same_profiles(Bundle.load(bundle), former)

"""From one annotated recording to names: prepare, train, export and identify."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from annotations import writing
from recognition.bundles import Trained
from speakerid.cli import run
from speakerid.recognition.recognizer import Recognizer

SPEAKERS, SESSIONS = 4, 10
PAUSE = 0.5
"""Seconds between two turns."""


def write_meeting(trained: Trained, folder: Path) -> list[str]:
    """Write one recording in which four people take turns, and its RTTM; the last two sessions are not in it."""
    folder.mkdir()
    names = sorted(path.name for path in trained.recordings.iterdir())[:SPEAKERS]
    sound: list[np.ndarray] = []
    turns: list[writing.Turn] = []
    seconds = 0.0
    for session in range(SESSIONS):
        for name in names:
            samples, rate = soundfile.read(trained.clips(name)[session])
            turns.append((seconds, seconds + len(samples) / rate, name))
            sound += [samples, np.zeros(round(PAUSE * rate))]
            seconds += len(samples) / rate + PAUSE
    soundfile.write(folder / "meeting.flac", np.concatenate(sound), 16_000)
    (folder / "meeting.rttm").write_text(writing.rttm(turns))
    return names


@pytest.mark.nightly
def test_people_of_one_annotated_recording_are_recognized_elsewhere(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = write_meeting(trained, tmp_path / "in")
    assert run(["prepare", str(tmp_path / "in"), str(tmp_path / "corpus"), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "layout annotated, 40 recordings of 4 speakers" in printed
    assert "left out: nothing" in printed
    config = Path(__file__).parents[2] / "configs" / "few_minutes.yaml"
    assert run([
        "train", "--config", str(config), "--quiet", f"data.root={tmp_path / 'corpus'}", f"run_dir={tmp_path / 'run'}",
        "device=cpu", "data.folds=0", "data.valid_fraction=0.3", "model.d_model=16",
        "model.encoder.dim_feedforward=32", "train.total_steps=60", "train.warmup_steps=5", "train.valid_steps=60",
        "train.save_steps=60", "train.log_steps=60",
    ]) == 0  # fmt: skip
    assert run(["export", str(tmp_path / "run" / "best.pt"), str(tmp_path / "m.safetensors")]) == 0
    recognizer = Recognizer.load(tmp_path / "m.safetensors")
    assert sorted(recognizer.speakers) == names
    others = [(name, path) for name in names for path in trained.clips(name)[SESSIONS:]]
    first = [recognizer.identify(path).ranking[0][0] for _, path in others]
    right = sum(found == name for found, (name, _) in zip(first, others, strict=True))
    assert right > len(others) / 2  # by chance a quarter

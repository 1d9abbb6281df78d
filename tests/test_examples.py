"""The examples run, with no other packages than they name, and agree with the recognizer."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from speakerid.audio.log_mel import LogMel
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.deployment.export import export_bundle
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.model_weights import arrays_of
from speakerid.recognition.profiles import profiles_of
from speakerid.recognition.recognizer import Recognizer

EXAMPLES = Path(__file__).resolve().parents[1] / "scripts" / "examples"
RATE, FEATURES = 16_000, FeatureConfig(n_mels=8)
SPEAKERS = ("brigitte", "dörte")
"""Bright and dull; a duller voice is a stranger."""
MODEL = ModelConfig.model_validate(
    {
        "d_model": 8,
        "encoder": {"kind": "conformer", "num_layers": 1, "dim_feedforward": 12, "kernel_size": 5},
    }
)


def hum(seconds: float, dullness: int, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    for _ in range(dullness):
        noise = np.cumsum(noise)
        noise -= noise.mean()
    return (0.5 * noise / np.abs(noise).max()).astype(np.float32)


def a_bundle() -> Bundle:
    """Bundle of an untrained model, which nevertheless distinguishes them."""
    torch.manual_seed(0)
    embedder, log_mel = Embedder(MODEL, FEATURES.n_mels).eval(), LogMel(FEATURES)

    @torch.no_grad()
    def prints(seconds: float, dullness: int, seeds: range) -> NDArray[np.float32]:
        sounds = [torch.from_numpy(log_mel(hum(seconds, dullness, seed), RATE))[None] for seed in seeds]
        return torch.cat([embedder(sound) for sound in sounds]).numpy()

    with torch.no_grad():
        everybody = [torch.from_numpy(log_mel(hum(2.0, dullness, 99), RATE))[None] for dullness in range(3)]
        embedder.mean.copy_(torch.cat([embedder.model.embed(sound) for sound in everybody]).mean(0))
    labels = np.repeat([0, 1], 4)
    profiles = profiles_of(SPEAKERS, embedder.plda, np.concatenate([prints(3.0, d, range(4)) for d in (0, 1)]), labels)
    evidence = [
        CalibrationSet(
            seconds,
            np.concatenate([prints(seconds, dullness, range(10, 30)) for dullness in (0, 1)]),
            np.repeat(SPEAKERS, 20),
            prints(seconds, 2, range(10, 50)),
            np.arange(40),
        )
        for seconds in (1.0, 2.0)
    ]
    return Bundle.fitted(MODEL, FEATURES, arrays_of(embedder), profiles, evidence, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a bundle, its exports, and recordings."""
    folder = tmp_path_factory.mktemp("examples")
    bundle = a_bundle()
    bundle.save(folder / "speaker.safetensors")
    assert export_bundle(bundle, folder / "model.onnx", "onnx") < 1e-5
    assert export_bundle(bundle, folder / "model.pt", "torchscript") < 1e-5
    sounds = {
        "bright": hum(2.5, 0, 5), "dull": hum(1.5, 1, 6), "stranger": hum(2.5, 2, 7), "short": hum(0.3, 0),
        "silent": np.zeros(RATE), "paused": np.concatenate([hum(1.0, 0, 8), np.zeros(RATE), hum(0.7, 0, 9)]),
    }  # fmt: skip
    for name, waveform in sounds.items():
        soundfile.write(folder / f"{name}.wav", np.stack([waveform] * 2, 1), RATE)
    return folder


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)


def identify_alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the ONNX example without torch and this package."""
    code = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['speakerid'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return run("-c", code, EXAMPLES / "identify_onnx.py", *arguments)


def test_onnxruntime_alone_says_what_the_recogniser_says(folder: Path) -> None:
    recognizer, recordings = Recognizer.load(folder / "speaker.safetensors"), sorted(folder.glob("*.wav"))
    found = identify_alone(folder / "model.onnx", *recordings)
    assert found.stderr == ""
    rows = {Path(path).stem: (name, score) for path, name, score in map(str.split, found.stdout.splitlines())}
    for recording in recordings:
        name, score = rows[recording.stem]
        assert name == (recognizer.identify(recording).name or "unknown"), recording.stem
        if recording.stem not in ("short", "silent"):
            prints = recognizer.listen(recording).voice_print[None]
            assert float(score) == pytest.approx(recognizer.bundle.profiles.scores(prints).max(), abs=1e-3)
    assert {stem: name for stem, (name, _) in rows.items()} == {
        "bright": "brigitte", "dull": "dörte", "paused": "brigitte",
        "short": "unknown", "silent": "unknown", "stranger": "unknown",
    }  # fmt: skip
    assert rows["silent"][1] == "nan"


def test_another_sample_rate_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, hum(1.0, 0), 8_000)
    found = identify_alone(folder / "model.onnx", path)
    assert found.returncode == 1
    assert found.stderr == f"{path}: found 8000 Hz, expected 16000 Hz; convert it with FFmpeg or SoX\n"


def test_a_stream_is_answered_while_it_runs(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.concatenate([np.zeros(RATE), hum(4.0, 0, 5), hum(4.0, 1, 6)]), RATE)
    found = run(EXAMPLES / "stream.py", folder / "speaker.safetensors", path)
    assert found.stderr == ""
    rows = [line.split(" s  ") for line in found.stdout.splitlines()]
    assert [float(row[0]) for row in rows] == pytest.approx(np.arange(0.5, 9.1, 0.5))
    said = {float(row[0]): row[1] for row in rows}
    assert said[1.0].startswith("silent")
    assert said[4.5].startswith("brigitte")
    assert said[9.0].startswith("dörte")

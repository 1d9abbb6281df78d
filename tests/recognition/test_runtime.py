"""Without PyTorch, SciPy and scikit-learn, bundles work by onnxruntime, and their answers are the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recognition.bundles import Trained
from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.cli import run
from speakerid.deployment.encoder import with_onnx
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.onnx_network import OnnxNetwork
from speakerid.recognition.projection import Projection
from speakerid.recognition.voice_encoder import VoiceEncoder

ABSENT = ("torch", "torchaudio", "scipy", "sklearn", "matplotlib", "tensorboard", "onnx")
RUN_ALL = """
import json, sys
absent, commands = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.modules.update(dict.fromkeys(absent))
from speakerid.cli import exit_with, run
for command in commands:
    try:
        exit_with(lambda: run(command))
    except SystemExit as end:
        print(f"status {end.code}", flush=True)
"""


def without_torch(commands: Sequence[Sequence[object]]) -> tuple[list[str], str]:
    """Output of each command, which ends with its exit status, and all errors."""
    arguments = json.dumps(ABSENT), json.dumps([list(map(str, command)) for command in commands])
    done = subprocess.run([sys.executable, "-c", RUN_ALL, *arguments], capture_output=True, text=True, check=True)
    outputs, lines = [], []
    for line in done.stdout.splitlines():
        lines.append(line)
        if line.startswith("status "):
            outputs.append("\n".join(lines))
            lines = []
    return outputs, done.stderr


@pytest.fixture(scope="module")
def runtime(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle with its encoder in ONNX, made by the command."""
    path = tmp_path_factory.mktemp("runtime") / "speaker.safetensors"
    assert run(["export", str(trained.path), str(path), "--to", "runtime"]) == 0
    return path


def test_every_command_answers_as_with_torch(trained: Trained, runtime: Path, tmp_path: Path) -> None:
    copies = [tmp_path / name for name in ("torch.safetensors", "onnx.safetensors")]
    for copy in copies:
        copy.write_bytes(runtime.read_bytes())
    names, stranger = trained.bundle.profiles.names, trained.clips(trained.stranger)
    known = trained.clips(names[0])
    transcript = tmp_path / "t.rttm"
    transcript.write_text(f"SPEAKER {known[0].stem} 1 0.000 2.000 <NA> <NA> SPEAKER_00 <NA> <NA>\n")

    def commands(path: Path) -> list[list[object]]:
        return [
            ["enroll", path, "Zoe", *stranger[:5]],
            ["enroll", path, names[1], *trained.clips(names[1])[:1], "--add"],
            ["forget", path, names[2]],
            ["rename", path, names[3], "Béla"],
            ["verify", path, known[0], known[1], "--json"],
            ["identify", path, "--json", "--top", "9", *known, *stranger],
            ["identify", path, "--json", "--timeline", known[0], stranger[0]],
            ["speakers", path],
            ["label", path, known[0], transcript, "--false-accepts", "0.5"],
        ]

    outputs, errors = without_torch(commands(copies[1]))
    for command in commands(copies[0])[:4]:
        assert run(list(map(str, command))) == 0
    assert "error" not in errors, errors
    assert [output[-8:] for output in outputs] == ["status 0"] * 4 + [outputs[4][-8:]] + ["status 0"] * 4
    ours, theirs = (Bundle.load(copy) for copy in copies)
    assert theirs.profiles.names == ours.profiles.names
    assert theirs.encoder == ours.encoder == trained.bundle.encoder
    np.testing.assert_allclose(theirs.profiles.centers, ours.profiles.centers, atol=1e-4)
    command = [sys.executable, "-m", "speakerid", *map(str, commands(copies[0])[5])]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for line, there in zip(outputs[5].splitlines(), expected, strict=False):
        mine, found = (json.loads(answer) for answer in (there, line))
        assert (found["answer"], found["name"]) == (mine["answer"], mine["name"])
        probabilities = [{row["name"]: row["probability"] for row in one["ranking"]} for one in (mine, found)]
        assert probabilities[1] == pytest.approx(probabilities[0], abs=1e-4)
        assert found["threshold"] == pytest.approx(mine["threshold"], abs=1e-4)


def test_voice_prints_are_those_of_torch_at_any_length(trained: Trained, runtime: Path) -> None:
    bundle = Bundle.load(runtime)
    assert bundle.onnx is not None
    torch_, onnx_ = VoiceEncoder(bundle), VoiceEncoder(bundle)
    onnx_.__dict__["network"] = OnnxNetwork(bundle.onnx, Projection.of(bundle.weights))
    rng = np.random.default_rng(0)
    frames = [(3 * rng.standard_normal((count, 40)) - 8).astype(np.float32) for count in (5, 60, 255, 256, 257, 3000)]
    expected = torch_.embed(frames)
    np.testing.assert_allclose(onnx_.embed(frames), expected, atol=1e-5)
    for one, row in zip(frames, expected, strict=True):
        np.testing.assert_allclose(onnx_.embed([one])[0], row, atol=1e-5)


def test_the_fingerprint_is_as_it_was_with_tensors(trained: Trained) -> None:
    """Otherwise voices enrolled by former versions could not be compared."""
    bundle = trained.bundle
    assert bundle.model is not None
    digest = hashlib.sha256(f"{bundle.features.model_dump_json()} {bundle.model.model_dump_json()}".encode())
    for name, weight in sorted(bundle.weights.items()):
        value = torch.from_numpy(np.array(weight))
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    assert bundle.encoder == digest.hexdigest()[:32]


def test_changes_keep_the_encoder_in_onnx(runtime: Path, trained: Trained) -> None:
    bundle = Bundle.load(runtime)
    changed = bundle.renamed(bundle.profiles.names[0], "Zoe").forgotten(bundle.profiles.names[1])
    assert changed.onnx is not None
    assert bundle.onnx is not None
    assert np.array_equal(changed.onnx, bundle.onnx)


def test_a_bundle_without_it_says_what_to_do_and_can_still_be_changed(trained: Trained, bundle: Path) -> None:
    name, clip = trained.bundle.profiles.names[0], trained.clips(trained.bundle.profiles.names[1])[0]
    commands = [["identify", bundle, clip], ["rename", bundle, name, "Zoe"], ["forget", bundle, "Zoe"]]
    outputs, errors = without_torch(commands)
    assert [output[-8:] for output in outputs] == ["status 2", "status 0", "status 0"]
    (line,) = errors.splitlines()
    assert "speakerid export BUNDLE NEW --to runtime" in line
    assert "Zoe" not in Bundle.load(bundle).profiles.names


def test_commands_that_need_torch_say_so_in_one_line(trained: Trained, tmp_path: Path) -> None:
    commands = [
        ["train", "--config", Path(__file__).parents[2] / "configs" / "demo.yaml"],
        ["export", trained.checkpoint, tmp_path / "new.safetensors"],
        ["prepare", trained.recordings, tmp_path / "corpus"],
    ]
    outputs, errors = without_torch(commands)
    assert [output[-8:] for output in outputs] == ["status 2"] * 3
    assert len(errors.splitlines()) == 3
    for line in errors.splitlines():
        assert line.startswith("error: ")
        assert "is not installed" in line
        assert install("train") in line
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_does_not_run_is_an_error_in_one_line(trained: Trained, runtime: Path) -> None:
    bundle = Bundle.load(runtime)
    assert bundle.onnx is not None
    damaged = bundle.onnx.copy()
    damaged[: len(damaged) // 2] = 0
    network = OnnxNetwork(damaged, Projection.of(bundle.weights))
    frames = np.zeros((60, 40), np.float32)
    encoder = VoiceEncoder(bundle)
    encoder.__dict__["network"] = network
    with pytest.raises(UserError, match="ONNX encoder cannot be loaded") as error:
        encoder.embed([frames])
    assert "\n" not in str(error.value)


def test_an_encoder_that_differs_is_not_written(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Projection.__call__
    monkeypatch.setattr(Projection, "__call__", lambda self, embeddings: found(self, 2 * embeddings))
    with pytest.raises(UserError, match="differs from the bundle's"):
        with_onnx(trained.bundle)


def test_the_tensor_is_checked(trained: Trained, runtime: Path, tmp_path: Path) -> None:
    bundle = replace(Bundle.load(runtime), onnx=np.zeros((2, 3), np.uint8))
    bundle.save(tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="tensor 'onnx'"):
        Bundle.load(tmp_path / "b.safetensors")

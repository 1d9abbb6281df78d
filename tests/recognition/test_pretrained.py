"""An embedding model from elsewhere takes the place of the trained one, with the features it was trained on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from recognition.bundles import KNOWN, STRANGERS, Trained
from recognition.test_runtime import without_torch
from speakerid.annotations.turns import Turn
from speakerid.audio.decode import decode
from speakerid.audio.frontends import Kind, features_of, frontend_of
from speakerid.audio.log_mel import trim
from speakerid.base.errors import UserError
from speakerid.cli import run
from speakerid.corpus.utterances import UNKNOWN
from speakerid.preparation.prepare import Options, prepare
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.make_pretrained import FOLDS, held_out_by
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.turn_names import name_voices
from speakerid.recognition.voice_encoder import VoiceEncoder


class OfFrames(nn.Module):
    """Means and deviations of (1, T, 80) frames, projected at random."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.projection = nn.Parameter(torch.randn(160, width, generator=generator))

    def forward(self, frames: Tensor) -> Tensor:
        around = frames - frames.mean(1, keepdim=True)
        spread = around.square().mean(1).sqrt()
        slow = (around[:, 2:] - around[:, :-2]).square().mean(1).sqrt()
        return torch.cat([spread, slow], 1) @ self.projection


class OfSamples(OfFrames):
    """The same of the logarithm of a spectrum of (1, N) samples."""

    def __init__(self) -> None:
        super().__init__()
        hertz, seconds = torch.linspace(100, 6_000, 80)[:, None], torch.arange(400) / 16_000
        self.basis = nn.Parameter(torch.cos(2 * torch.pi * hertz * seconds)[:, None])

    def forward(self, frames: Tensor) -> Tensor:
        power = nn.functional.conv1d(frames[:, None], self.basis, stride=80).square()
        return super().forward(nn.functional.avg_pool1d(power, 4, stride=2).add(1e-4).log().transpose(1, 2))


MODELS: dict[Kind, tuple[Callable[[], nn.Module], Tensor]] = {
    "kaldi80": (OfFrames, torch.randn(1, 50, 80)),
    "kaldi80-povey": (OfFrames, torch.randn(1, 50, 80)),
    "waveform": (OfSamples, torch.randn(1, 16_000)),
}


def write_onnx(path: Path, kind: Kind) -> Path:
    model, example = MODELS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model().eval(), (example,), path, input_names=["x"], output_names=["y"], dynamic_axes={"x": {1: "T"}},
            dynamo=False,
        )  # fmt: skip
    return path


@dataclass(frozen=True)
class Made:
    """A bundle of each kind, its model, and the corpus that both were made from."""

    corpus: Path
    models: dict[str, Path]
    bundles: dict[str, Path]


@pytest.fixture(scope="module")
def made(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("pretrained")
    options = Options(layout_out="packed", test_fraction=0.3, strangers=STRANGERS, workers=0)
    prepare(trained.recordings, folder / "corpus", options)
    kinds: tuple[Kind, ...] = ("kaldi80", "waveform")
    models = {kind: write_onnx(folder / f"{kind}.onnx", kind) for kind in kinds}
    bundles = {kind: folder / f"{kind}.safetensors" for kind in kinds}
    for kind in kinds:
        command = ["export", "--encoder", models[kind], "--features", kind, "--data", folder / "corpus", bundles[kind]]
        assert run(list(map(str, command))) == 0
    return Made(folder / "corpus", models, bundles)


@pytest.mark.parametrize(("kind", "window", "scale"), [("kaldi80", "hamming", 2**15), ("kaldi80-povey", "povey", 1)])
def test_frames_are_those_that_the_toolkits_compute(trained: Trained, kind: Kind, window: str, scale: float) -> None:
    """Oracle: torchaudio's port of Kaldi, called as WeSpeaker and 3D-Speaker call it."""
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    sound = decode(trained.clips(trained.stranger)[0])
    features = features_of(kind, 16_000)
    samples = torch.from_numpy(trim(sound.waveform, sound.sample_rate, features))
    expected = kaldi.fbank(
        samples[None] * scale, num_mel_bins=80, dither=0.0, sample_frequency=16_000, window_type=window
    )
    frames = frontend_of(features, kind)(sound.waveform, sound.sample_rate)
    assert frames.shape == tuple(expected.shape)
    np.testing.assert_allclose(frames, expected.numpy(), atol=0.02)
    assert float(np.abs(frames - expected.numpy()).mean()) < 1e-4


def test_frames_of_samples_are_the_samples(trained: Trained) -> None:
    sound = decode(trained.clips(trained.stranger)[0])
    features = features_of("waveform", sound.sample_rate)
    samples = trim(sound.waveform, sound.sample_rate, features)
    frames = frontend_of(features, "waveform")(sound.waveform, sound.sample_rate)
    assert np.array_equal(frames.ravel(), samples[: frames.size])
    assert len(samples) - frames.size < 160


@pytest.mark.parametrize("kind", ["kaldi80", "waveform"])
def test_it_does_what_a_trained_bundle_does(made: Made, trained: Trained, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(made.bundles[kind].read_bytes())
    path.chmod(0o600)
    recognizer = Recognizer.load(path)
    names = recognizer.speakers
    assert len(names) == KNOWN
    clips = {name: trained.clips(name) for name in names}
    right = [answer.ranking[0][0] == name for name in names for answer in recognizer.identify_many(clips[name])]
    assert np.mean(right) > 0.7
    stranger = trained.clips(trained.stranger)
    recognizer.enroll("Zoe", stranger[::2])
    recognizer.rename("Zoe", "Anna")
    recognizer.forget(names[0])
    loaded = Recognizer.load(path)
    assert loaded.speakers == (*names[1:], "Anna")
    assert loaded.bundle.encoder == Bundle.load(made.bundles[kind]).encoder
    assert loaded.identify(stranger[0]) == recognizer.identify(stranger[0])
    assert loaded.timeline(clips[names[1]][0])


def test_label_and_listen_embed_its_own_frames(made: Made, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = Recognizer.load(made.bundles["waveform"])
    clip = trained.clips(recognizer.speakers[0])[0]
    sound = decode(clip, sample_rate=recognizer.bundle.features.sample_rate).waveform
    frames: list[NDArray[np.float32]] = []
    embed = VoiceEncoder.embed

    def recorded(self: VoiceEncoder, some: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        frames.extend(some)
        return embed(self, some)

    monkeypatch.setattr(VoiceEncoder, "embed", recorded)
    name_voices(recognizer, clip, [Turn(0.0, len(sound) / 16_000, "A")])
    labeled = len(frames)
    live = recognizer.live()
    list(live.feed(sound))
    live.finish()
    assert 0 < labeled < len(frames)
    assert all(np.abs(some).max() <= 1 for some in frames)  # samples; log-mels are below


def test_without_torch_its_answers_are_the_same(made: Made, trained: Trained, capsys: pytest.CaptureFixture) -> None:
    commands = [["identify", made.bundles["kaldi80"], "--json", *trained.clips(trained.stranger)[:3]]]
    (output,), errors = without_torch(commands)
    assert not errors
    capsys.readouterr()
    assert run(list(map(str, commands[0]))) == 0
    found, expected = (
        [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        for text in (output, capsys.readouterr().out)
    )
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)
        assert one["name"] == other["name"]


def test_it_is_evaluated_on_the_test_recordings(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["evaluate", made.bundles["kaldi80"], made.corpus]
    assert run(list(map(str, command))) == 0
    assert "1 s" in capsys.readouterr().out


def test_the_checksum_binds_the_bundle_to_the_model(made: Made, tmp_path: Path) -> None:
    bundle = Bundle.load(made.bundles["kaldi80"])
    assert bundle.onnx is not None
    changed = bundle.onnx.copy()
    changed[-1] ^= 1
    replace(bundle, onnx=changed).save(tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="not the encoder of the checksum"):
        Bundle.load(tmp_path / "b.safetensors")


def test_models_of_other_kinds_are_refused_in_one_line(made: Made, tmp_path: Path) -> None:
    def message(model: Path, kind: str) -> str:
        command = ["export", "--encoder", model, "--features", kind, "--data", made.corpus, tmp_path / "b.safetensors"]
        with pytest.raises(UserError) as error:
            run(list(map(str, command)))
        assert "\n" not in str(error.value)
        return str(error.value)

    text = tmp_path / "model.onnx"
    text.write_text("not a model")
    assert "cannot be loaded" in message(text, "kaldi80")
    assert "found inputs x of" in message(made.models["waveform"], "kaldi80")
    assert "cannot be read" in message(tmp_path / "missing.onnx", "kaldi80")
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["b.safetensors"], "SOURCE: missing"),
        (["--encoder", "m.onnx", "b.safetensors"], "--features: missing"),
        (["--encoder", "m.onnx", "--features", "kaldi80", "b.safetensors"], "--data: missing"),
        (["best.pt", "b.safetensors", "--features", "kaldi80"], "--features: found without --encoder"),
        (["best.pt", "b.safetensors", "--encoder", "m.onnx"], "beside --encoder"),
        (["--encoder", "m.onnx", "b.safetensors", "--to", "onnx"], "--to onnx: has no effect"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        run(["export", *options])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3)), min_size=1, max_size=60))
def test_held_out_sessions_are_whole_and_no_speaker_is_held_out_completely(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    sessions = np.array([UNKNOWN if session < 0 else 10 * label + session for label, session in rows])
    folds: NDArray[np.int64] = held_out_by(labels, sessions)
    assert ((folds == UNKNOWN) | ((folds >= 0) & (folds < FOLDS))).all()
    for label in np.unique(labels):
        mine = labels == label
        assert len(set(folds[mine])) > 1 or (folds[mine] == UNKNOWN).all()
        known = set(sessions[mine]) - {UNKNOWN}
        if len(known) > 1:
            assert all(len(set(folds[mine & (sessions == session)])) == 1 for session in known)
        assert (folds[mine] != UNKNOWN).all() or mine.sum() == 1 or len(set(sessions[mine])) == 1

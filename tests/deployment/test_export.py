"""An exported model returns the same results as the original, for every encoder and pooling, and alone.

Shapes: B recordings in a batch, N samples, M mel bands, E width of an embedding, S speakers, K centers per speaker.
"""

import json
import re
import resource
import sys
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from small_models import ENCODERS, POOLINGS
from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.config import FeatureConfig
from speakerid.config.model import ModelConfig
from speakerid.deployment.export import TOLERANCE, export_onnx, export_torchscript
from speakerid.deployment.waveform_model import WaveformModel
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.recognition.profiles import Scoring

MELS, WIDTH = 5, 6
SPEAKERS = ["anna", "béla", "cleo"]
THRESHOLDS = {"seconds": [1.0, 5.0], "scores": [0.5, 0.4]}
VARIANTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"subsampling": 2}),
    ({"concat_layers": True}, {"subtract_mean": True}),
    ({"share_layers": True, "nhead": 1}, {"subtract_mean": True, "subsampling": 2}),
]
"""Settings of the encoder, and of the model."""
FORMATS = {"onnx": export_onnx, "torchscript": export_torchscript}

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
each_format = pytest.mark.parametrize("export", FORMATS.values(), ids=FORMATS.keys())


class UnitEmbedder(nn.Module):
    """(B, T, M) features and (B, T) mask to (B, E) embeddings of length 1."""

    def __init__(self, model: SpeakerClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return F.normalize(self.model.embed(features, mask), dim=-1)


def a_model(encoder: str, pooling: str, variant: int = 0) -> WaveformModel:
    """Two layers of width 8, with random weights, and BatchNorm statistics other than the initial ones."""
    of_encoder, of_model = VARIANTS[variant]
    config = ModelConfig.model_validate(
        {
            "d_model": 8,
            "encoder": {"num_layers": 2, "nhead": 2} | ENCODERS[encoder] | of_encoder,
            "pooling": POOLINGS[pooling],
            "embedding_dim": WIDTH,
        }
        | of_model
    )
    torch.manual_seed(0)
    classifier = SpeakerClassifier(config, MELS, len(SPEAKERS))
    classifier(4 * torch.randn(8, 20, MELS) - 10)
    shapes = (len(SPEAKERS), 2, WIDTH), (len(SPEAKERS), 2), (2, WIDTH)
    slopes, offsets, curvatures = (torch.randn(shape).numpy() for shape in shapes)
    scoring = Scoring(slopes, offsets, curvatures, np.arange(len(SPEAKERS)) % 2)
    return WaveformModel(FeatureConfig(n_mels=MELS), UnitEmbedder(classifier), scoring).eval()


def some_noise(samples: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    waveforms = 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))
    return waveforms, torch.full((batch,), samples)


@cache
def onnx_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


torchscript = cache(torch.jit.load)


def run(path: Path, waveforms: Tensor, lengths: Tensor) -> list[Tensor]:
    """Embeddings, scores and seconds by an exported model."""
    if path.suffix == ".pt":
        return list(torchscript(path)(waveforms, lengths))
    inputs = {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()}
    return [torch.as_tensor(answer) for answer in onnx_session(path).run(["embeddings", "scores", "seconds"], inputs)]


def turns(pooling: int, variant: int) -> list[tuple[str, str, int]]:
    """Every encoder, with poolings and variants in turn: a pooling depends on its encoder only through the frames."""
    return list(
        zip(
            ENCODERS,
            islice(cycle(POOLINGS), pooling, None),
            islice(cycle(range(len(VARIANTS))), variant, None),
            strict=False,
        )
    )


def a_third_today(cases: list[tuple[str, str, int]]) -> list[Any]:
    """Every third case; the others are nightly."""
    return [pytest.param(*case, marks=[pytest.mark.nightly] if index % 3 else []) for index, case in enumerate(cases)]


@each_format
@pytest.mark.parametrize(("encoder", "pooling", "variant"), a_third_today(turns(0, 0)))
def test_every_encoder_is_exported(export: Any, encoder: str, pooling: str, variant: int, tmp_path: Path) -> None:
    assert export(a_model(encoder, pooling, variant), tmp_path / "exported", SPEAKERS, THRESHOLDS) < 1e-5


@pytest.mark.nightly
@pytest.mark.parametrize(("encoder", "pooling", "variant"), turns(2, 1))
def test_with_another_pooling_it_is_exported_too(encoder: str, pooling: str, variant: int, tmp_path: Path) -> None:
    assert export_onnx(a_model(encoder, pooling, variant), tmp_path / "exported", SPEAKERS, THRESHOLDS) < 1e-5


@pytest.fixture(scope="module", params=["rotary transformer", "e_branchformer"])
def model(request: pytest.FixtureRequest) -> WaveformModel:
    return a_model(request.param, "attentive statistics", variant=2)


@pytest.fixture(scope="module", params=["model.onnx", "model.pt"])
def exported(request: pytest.FixtureRequest, model: WaveformModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / request.param
    export = export_onnx if path.suffix == ".onnx" else export_torchscript
    assert export(model, path, SPEAKERS, THRESHOLDS) < 1e-5
    return path


@settings(deadline=None, max_examples=20)
@given(
    content=st.lists(st.tuples(st.integers(0, 40_000), st.booleans()), min_size=1, max_size=4),
    padding=st.integers(0, 2_000),
)
def test_any_length_in_any_batch(
    model: WaveformModel, exported: Path, content: list[tuple[int, bool]], padding: int
) -> None:
    lengths = torch.tensor([samples for samples, _ in content])
    waveforms, _ = some_noise(1 + int(lengths.max()) + padding, len(content))
    waveforms *= torch.tensor([heard for _, heard in content])[:, None]  # silence answers with NaN
    with torch.no_grad():
        expected = model(waveforms, lengths)
    for found, answer in zip(run(exported, waveforms, lengths), expected, strict=True):
        torch.testing.assert_close(found, answer, rtol=0, atol=1e-5, equal_nan=True)


def test_what_is_exported_asks_for_no_gradient(exported: Path) -> None:
    assert not any(answer.requires_grad for answer in run(exported, *some_noise(4_000)))


def test_the_file_says_what_it_needs_and_answers(exported: Path) -> None:
    if exported.suffix == ".onnx":
        told = onnx_session(exported).get_modelmeta().custom_metadata_map
    else:
        files = {"metadata.json": ""}
        torch.jit.load(exported, _extra_files=files)
        told = json.loads(files["metadata.json"])
    assert json.loads(told["speakers"]) == SPEAKERS
    assert told["sample_rate"] == "16000"
    assert json.loads(told["thresholds"]) == THRESHOLDS


@pytest.mark.parametrize("exported", ["model.onnx"], indirect=True)
def test_batch_and_length_are_free(exported: Path) -> None:
    free = {
        value.name: [place.dim_param for place in value.type.tensor_type.shape.dim]
        for value in onnx.load(exported).graph.input
    }
    assert free == {"waveforms": ["B", "N"], "lengths": ["B"]}


def test_the_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = a_model("post-norm transformer", "mean")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_torchscript(model, tmp_path / "model.pt", SPEAKERS, THRESHOLDS)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


class LooksAtTheLength(nn.Module):
    """Embedder whose trace is right only for recordings below 3 s."""

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.embed(features.mean((1, 2))[:, None] * 0, features.shape[1] < 300)

    def embed(self, nothing: Tensor, short: bool) -> Tensor:
        return nothing + torch.eye(WIDTH)[0 if short else 1]


class HasNoNumber(LooksAtTheLength):
    """Embedder whose trace has no value for some inputs."""

    def embed(self, nothing: Tensor, short: bool) -> Tensor:
        return nothing + torch.eye(WIDTH)[0] + (torch.nan if short else 0)


class LooksAtTheBatch(LooksAtTheLength):
    """Embedder whose trace is for two recordings."""

    def embed(self, nothing: Tensor, short: bool) -> Tensor:
        return torch.eye(WIDTH)[0].expand(len(nothing), -1)


@each_format
@pytest.mark.parametrize(
    ("embedder", "why"),
    [
        (LooksAtTheLength(), f"by 1.0e[+]00 for .* s in a batch of .*, expected {TOLERANCE:.0e} at most"),
        (HasNoNumber(), "by inf for .* s in a batch of "),
        (LooksAtTheBatch(), "fails for a batch of 1"),
    ],
)
def test_what_answers_otherwise_is_refused_and_not_written(
    export: Any, embedder: nn.Module, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    path.write_text("what was there before", encoding="utf-8")
    ones, zeros = np.ones((3, 2, WIDTH), np.float32), np.zeros((3, WIDTH), np.float32)
    scoring = Scoring(ones, zeros[:, :2], zeros, np.arange(3))
    model = WaveformModel(FeatureConfig(n_mels=MELS), embedder, scoring).eval()
    with pytest.raises(UserError, match=f"model: not written: .*{why}") as error:
        export(model, path, SPEAKERS, THRESHOLDS)
    assert "\n" not in str(error.value)
    assert path.read_text(encoding="utf-8") == "what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_loop_over_queries_is_not_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speakerid.nn.attention.QUERY_CHUNK", 10)
    export_torchscript(a_model("glu conformer", "mean"), tmp_path / "model.pt", SPEAKERS, THRESHOLDS)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"{package} .*{re.escape(install('onnx'))}"):
        export_onnx(a_model("glu conformer", "mean"), tmp_path / "model.onnx", SPEAKERS, THRESHOLDS)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "model.onnx"
    with pytest.raises(UserError, match="cannot be written"):
        export_onnx(a_model("post-norm transformer", "mean"), path, SPEAKERS, THRESHOLDS)


@pytest.mark.parametrize("export", [export_onnx, export_torchscript])
def test_a_full_disk_is_one_line(export: Any, tmp_path: Path) -> None:
    """A limit on the size of files simulates the full disk."""
    model, path = a_model("post-norm transformer", "mean"), tmp_path / "model"
    path.write_bytes(b"former")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(UserError, match="model: cannot be written: File too large"):
            export(model, path, SPEAKERS, THRESHOLDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"former"]

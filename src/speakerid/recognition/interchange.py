"""A recogniser in a file that others can run: ONNX, and TorchScript.

Both are written by tracing one example, which records what was done to its tensors. PyTorch calls that deprecated in
favour of `torch.export`, whose ONNX exporter, however, fixes the length of the recordings here (and needs onnxscript);
and TorchScript has nothing else. What a trace cannot know is looked at afterwards: what was written has to answer like
the model it was made of, at many lengths and batch sizes.

Letters: B recordings in a batch, N samples, E width of an embedding, S speakers,
T frames, M mel bands.
"""

import copy
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.audio.log_mel import LogMel
from speakerid.errors import UserError
from speakerid.extras import install
from speakerid.files import atomic_file
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.profiles import RANKED
from speakerid.recognition.voices import SHORTEST as SHORTEST_SOUND
from speakerid.recognition.waveform_model import WaveformModel

OPSET = 17
"""Of ONNX; the first with LayerNormalization, so that as many programs as possible read it."""
INPUTS, OUTPUTS = ("waveforms", "lengths"), ("embeddings", "scores", "seconds")
TOLERANCE = 1e-4
"""By which embeddings and scores may differ from the model's."""
BATCH_SIZES = (1, 2, 3, 4, 5) * 3 + (5,)
"""Of the 50 recordings that are compared."""
SHORTEST, LONGEST = 0.5, 10.0
"""Seconds of those recordings."""

Run = Callable[[Tensor, Tensor], Sequence[Any]]
"""(B, N) waveforms and (B,) lengths to (B, E) embeddings, (B, S) scores and (B,) seconds, as tensors or arrays."""


def export_onnx(model: WaveformModel, path: Path, speakers: Sequence[str], thresholds: Mapping[str, Any]) -> float:
    """Write a recogniser for onnxruntime, which needs nothing else: not torch, and not this package.

    Attention is done in one piece there, so its memory grows with the square of the length: cut up what lasts many
    minutes.

    Inputs: `waveforms`, (B, N) float32 samples at the sample rate of the metadata; `lengths`, (B,) int64 samples of
    each. Outputs: `embeddings`, (B, E) of length 1, and `scores`, (B, S), both NaN for a recording without sound;
    `seconds`, (B,) of sound. Metadata (`metadata_props`): `speakers`, a JSON list of S names; `sample_rate` in Hz;
    `thresholds` in JSON.

    Args:
        model: on the CPU and in evaluation mode.
        path: the file to be, conventionally .onnx.
        speakers: names, in the order of the scores.
        thresholds: whatever is to be known of them, as plain as JSON.

    Returns:
        The largest deviation found, of 50 recordings.

    Raises:
        UserError: the extra `onnx` is not installed, the file cannot be written, or what was exported answers otherwise
            than the model; in that case nothing is written.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(f"ONNX: {error.name} is not installed; {install('onnx')}") from error
    plain = traceable(model, speakers)
    free = {"waveforms": {0: "B", 1: "N"}} | {name: {0: "B"} for name in ("lengths", *OUTPUTS)}
    with atomic_file(path) as partial:
        with tracing():
            torch.onnx.export(
                plain, example(model), partial, input_names=INPUTS, output_names=OUTPUTS, dynamic_axes=free,
                opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        written = onnx.load(partial)
        onnx.helper.set_model_props(written, metadata(model, speakers, thresholds))
        onnx.checker.check_model(written)
        onnx.save(written, partial)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong is said below, in one line
        # Not by its name, which onnxruntime wants to be Unicode.
        session = onnxruntime.InferenceSession(partial.read_bytes(), options, providers=["CPUExecutionProvider"])

        def run(waveforms: Tensor, lengths: Tensor) -> Sequence[Any]:
            return session.run(OUTPUTS, {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()})

        return largest_deviation(run, model, path)


def export_torchscript(
    model: WaveformModel, path: Path, speakers: Sequence[str], thresholds: Mapping[str, Any]
) -> float:
    """Write a recogniser for `torch.jit.load`, or C++: PyTorch on a CPU, without this package.

    Called with (B, N) and (B,) it returns (B, E), (B, S) and (B,). The extra file `metadata.json` holds an object of
    strings. All this is as in `export_onnx`, where arguments and errors are described as well.

    Returns:
        The largest deviation found, of 50 recordings.
    """
    plain = traceable(model, speakers)
    told = json.dumps(metadata(model, speakers, thresholds))
    with atomic_file(path) as partial, tracing():
        traced = torch.jit.trace(plain, example(model), check_trace=False)
        content = io.BytesIO()  # to a path, torch aborts the process where the disk is full, and takes Unicode only
        torch.jit.save(traced, content, _extra_files={"metadata.json": told})
        partial.write_bytes(content.getvalue())
        return largest_deviation(torch.jit.load(io.BytesIO(partial.read_bytes())), model, path)


def export_bundle(bundle: Bundle, path: Path, to: Literal["onnx", "torchscript"]) -> float:
    """Write what a bundle knows by `export_onnx` or `export_torchscript`, where results and errors are described.

    `thresholds` says when a speaker is named: the numbers of `Rule`, under the names of its attributes (`seconds`,
    `scale` and `unknown` by duration, `rates`, and `log_odds` by duration and rate), `ranked`, how many speakers
    compete, and `shortest`, the seconds below which nobody is named. Verification is not exported, nor is enrollment:
    enroll first.

    Raises:
        UserError: see there; or features that equalise.
    """
    rule = bundle.identification
    thresholds = {
        "seconds": rule.thresholds.seconds.tolist(),
        "scale": rule.scale.tolist(),
        "unknown": rule.unknown.tolist(),
        "rates": rule.thresholds.rates.tolist(),
        "log_odds": rule.thresholds.log_odds.tolist(),
        "ranked": RANKED,
        "shortest": SHORTEST_SOUND,
    }
    model = WaveformModel(bundle.features, bundle.embedder(), bundle.profiles.scoring).eval()
    export = export_onnx if to == "onnx" else export_torchscript
    return export(model, path, bundle.profiles.names, thresholds)


def metadata(model: WaveformModel, speakers: Sequence[str], thresholds: Mapping[str, Any]) -> dict[str, str]:
    """What travels with the weights, as strings."""
    return {
        "speakers": json.dumps(list(speakers), ensure_ascii=False),
        "sample_rate": str(model.log_mel.features.sample_rate),
        "thresholds": json.dumps(dict(thresholds), allow_nan=False),
    }


def traceable(model: WaveformModel, speakers: Sequence[str]) -> WaveformModel:
    """A copy whose weights ask for no gradients, or the traced ones would for ever."""
    assert not model.training, "a model in training mode answers at random"
    assert model.slopes.device.type == "cpu", "a trace does not leave the device it was made on"
    assert len(speakers) == len(model.slopes), f"{len(speakers)} names of {len(model.slopes)} speakers"
    return copy.deepcopy(model).requires_grad_(False)


@contextmanager
def tracing() -> Iterator[None]:
    """Silence what PyTorch says of every trace; the comparison finds where it is right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[reportPrivateImportUsage]
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        yield


def example(model: WaveformModel) -> tuple[Tensor, Tensor]:
    """Two recordings to trace with."""
    sounds = [recording(model, seconds, np.random.default_rng(0)) for seconds in (1.0, 0.6)]
    return padded(sounds)


def recording(model: WaveformModel, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise in syllables, with a pause of 0.6 s every 2 s."""
    rate = model.log_mel.features.sample_rate
    time = np.arange(round(seconds * rate)) / rate
    syllables = np.sin(2 * np.pi * rng.uniform(1, 2) * time) ** 2
    spoken = np.cos(np.pi * time) > np.cos(0.7 * np.pi)
    return (0.1 * spoken * syllables * rng.standard_normal(len(time))).astype(np.float32)


def padded(waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """(B, N) waveforms and their (B,) lengths."""
    tensors = [torch.from_numpy(waveform) for waveform in waveforms]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), torch.tensor([len(t) for t in tensors])


@torch.no_grad()
def largest_deviation(run: Run, model: WaveformModel, path: Path) -> float:
    """Hold answers in batches against `LogMel` and the embedder, one recording at a time.

    Args:
        run: what was exported.
        model: what it was made of.
        path: named in the error.

    Returns:
        The largest difference of an embedding's channel or a score.

    Raises:
        UserError: it is larger than `TOLERANCE`, or what was exported does not run.
    """
    rng = np.random.default_rng(1)
    durations = iter(rng.permutation(np.linspace(SHORTEST, LONGEST, sum(BATCH_SIZES))))
    log_mel, rate = LogMel(model.log_mel.features), model.log_mel.features.sample_rate
    worst, place = 0.0, ""
    for batch_size in BATCH_SIZES:
        waveforms = [recording(model, next(durations), rng) for _ in range(batch_size)]
        expected = torch.stack([one_by_one(model, log_mel(waveform, rate)) for waveform in waveforms])
        try:
            embeddings, scores, seconds = (torch.as_tensor(answer) for answer in run(*padded(waveforms)))
            found = torch.cat([embeddings, scores, seconds[:, None]], 1).view_as(expected)
        except Exception as error:  # TorchScript and onnxruntime have a dozen of their own
            raise UserError(f"{path}: not written: what was exported fails in a batch of {batch_size}") from error
        differences = (found - expected).abs().nan_to_num(torch.inf).amax(1)
        if differences.max() > worst:
            worst, row = (result.item() for result in differences.max(0))
            place = f"{len(waveforms[int(row)]) / rate:.2f} s in a batch of {batch_size}"
    if worst > TOLERANCE:
        raise UserError(
            f"{path}: not written: what was exported answers otherwise than the bundle, by {worst:.1e} for {place}, "
            f"expected {TOLERANCE:.0e} at most; try the versions of torch and onnxruntime in pyproject.toml"
        )
    return worst


def one_by_one(model: WaveformModel, features: NDArray[np.float32]) -> Tensor:
    """(T, M) features to (E + S + 1,): what the model's parts make of them, without batch, mask and front end."""
    embedding = model.embedder(torch.from_numpy(features)[None], None)[0]
    seconds = len(features) / model.log_mel.features.frames_per_second
    scores = (model.slopes @ embedding + model.offsets).amax(1) + model.curvatures @ embedding.square()
    return torch.cat([embedding, scores, torch.tensor([seconds])])

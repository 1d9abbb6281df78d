"""Export a recognizer to ONNX or TorchScript.

Both are written by tracing one example, which records the operations on its tensors. PyTorch calls that deprecated in
favor of `torch.export`, but its ONNX exporter fixes the length of the recordings here (and needs onnxscript), and
TorchScript has no alternative. What a trace cannot know is checked afterwards: the exported model must return the same
results as the original at many lengths and batch sizes.

Shapes: B recordings in a batch, N samples, E width of an embedding, S speakers,
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
from speakerid.base.errors import UserError
from speakerid.base.extras import install
from speakerid.base.files import StrPath, atomic_file
from speakerid.deployment.waveform_model import WaveformModel
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.profiles import RANKED
from speakerid.recognition.voice_encoder import SHORTEST as SHORTEST_SOUND

OPSET = 17
"""ONNX opset; the first with LayerNormalization, so that as many programs as possible can read it."""
INPUTS, OUTPUTS = ("waveforms", "lengths"), ("embeddings", "scores", "seconds")
TOLERANCE = 1e-4
"""Largest difference of embeddings and scores from the model's."""
BATCH_SIZES = (1, 2, 3, 4, 5) * 3 + (5,)
"""Batch sizes of the 50 recordings that are compared."""
SHORTEST, LONGEST = 0.5, 10.0
"""Durations of those recordings, in seconds."""

Run = Callable[[Tensor, Tensor], Sequence[Any]]
"""(B, N) waveforms and (B,) lengths to (B, E) embeddings, (B, S) scores and (B,) seconds, as tensors or arrays."""


def export_onnx(model: WaveformModel, path: Path, speakers: Sequence[str], thresholds: Mapping[str, Any]) -> float:
    """Write a recognizer for onnxruntime, which needs neither torch nor this package.

    Inputs: `waveforms`, (B, N) float32 samples at the sample rate of the metadata; `lengths`, (B,) int64 samples of
    each. Outputs: `embeddings`, (B, E) of length 1, and `scores`, (B, S), both NaN for a recording without sound;
    `seconds`, (B,) durations of the sound. Metadata (`metadata_props`): `speakers`, a JSON list of S names;
    `sample_rate` in Hz; `thresholds` in JSON.

    Args:
        model: model on the CPU, in evaluation mode.
        path: file to write, conventionally .onnx.
        speakers: names, in the order of the scores.
        thresholds: what to state about thresholds; must be JSON.

    Returns:
        The largest difference from the model's results, over 50 recordings.

    Raises:
        UserError: the extra `onnx` is not installed, the file cannot be written, or the exported model differs from the
            original; nothing is written then.
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
        options.log_severity_level = 4  # errors are reported below, in one line
        # Not by its path, which onnxruntime expects to be Unicode.
        session = onnxruntime.InferenceSession(partial.read_bytes(), options, providers=["CPUExecutionProvider"])

        def run(waveforms: Tensor, lengths: Tensor) -> Sequence[Any]:
            return session.run(OUTPUTS, {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()})

        return largest_deviation(run, model, path)


def export_torchscript(
    model: WaveformModel, path: Path, speakers: Sequence[str], thresholds: Mapping[str, Any]
) -> float:
    """Write a recognizer for `torch.jit.load` or C++: PyTorch on a CPU, without this package.

    Called with (B, N) and (B,), it returns (B, E), (B, S) and (B,). The extra file `metadata.json` holds an object of
    strings. See `export_onnx` for details, arguments and errors.

    Returns:
        The largest difference from the model's results, over 50 recordings.
    """
    plain = traceable(model, speakers)
    properties = json.dumps(metadata(model, speakers, thresholds))
    with atomic_file(path) as partial, tracing():
        traced = torch.jit.trace(plain, example(model), check_trace=False)
        content = io.BytesIO()  # given a path, torch aborts the process if the disk is full, and accepts only Unicode
        torch.jit.save(traced, content, _extra_files={"metadata.json": properties})
        partial.write_bytes(content.getvalue())
        return largest_deviation(torch.jit.load(io.BytesIO(partial.read_bytes())), model, path)


def export_bundle(bundle: Bundle, path: StrPath, to: Literal["onnx", "torchscript"]) -> float:
    """Export a bundle by `export_onnx` or `export_torchscript`; see there for the result and errors.

    `thresholds` says when a speaker is named. It has the numbers of `Rule` under the names of its attributes
    (`seconds`, `scale` and `unknown` by duration, `rates`, and `log_odds` by duration and rate); `ranked`, the number
    of speakers that compete; and `shortest`, the shortest duration for which a name is given. Verification and
    enrollment are not exported, so enroll first.

    Raises:
        UserError: as for these functions.
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
    return export(model, Path(path), bundle.profiles.names, thresholds)


def metadata(model: WaveformModel, speakers: Sequence[str], thresholds: Mapping[str, Any]) -> dict[str, str]:
    """Metadata stored with the weights, as strings."""
    return {
        "speakers": json.dumps(list(speakers), ensure_ascii=False),
        "sample_rate": str(model.log_mel.features.sample_rate),
        "thresholds": json.dumps(dict(thresholds), allow_nan=False),
    }


def traceable(model: WaveformModel, speakers: Sequence[str]) -> WaveformModel:
    """Copy of a model without gradients, which traced weights would require forever."""
    assert not model.training, "a model in training mode answers at random"
    assert model.slopes.device.type == "cpu", "a trace does not leave the device it was made on"
    assert len(speakers) == len(model.slopes), f"{len(speakers)} names of {len(model.slopes)} speakers"
    return copy.deepcopy(model).requires_grad_(False)


@contextmanager
def tracing() -> Iterator[None]:
    """Silence PyTorch's warnings about every trace; `largest_deviation` checks the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit, since torch 2.14
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[reportPrivateImportUsage]
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        yield


def example(model: WaveformModel) -> tuple[Tensor, Tensor]:
    """Make two recordings to trace with."""
    sounds = [recording(model, seconds, np.random.default_rng(0)) for seconds in (1.0, 0.6)]
    return padded(sounds)


def recording(model: WaveformModel, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make noise in syllables, with a pause of 0.6 s every 2 s."""
    rate = model.log_mel.features.sample_rate
    time = np.arange(round(seconds * rate)) / rate
    syllables = np.sin(2 * np.pi * rng.uniform(1, 2) * time) ** 2
    spoken = np.cos(np.pi * time) > np.cos(0.7 * np.pi)
    return (0.1 * spoken * syllables * rng.standard_normal(len(time))).astype(np.float32)


def padded(waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Pad to (B, N) waveforms, with their (B,) lengths."""
    tensors = [torch.from_numpy(waveform) for waveform in waveforms]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), torch.tensor([len(t) for t in tensors])


@torch.no_grad()
def largest_deviation(run: Run, model: WaveformModel, path: Path) -> float:
    """Compare the results of an exported model in batches with `LogMel` and the embedder, one recording at a time.

    Args:
        run: the exported model.
        model: the original model.
        path: path for the error message.

    Returns:
        The largest difference of an embedding's element or a score.

    Raises:
        UserError: the difference is larger than `TOLERANCE`, or the exported model does not run.
    """
    rng = np.random.default_rng(1)
    durations = iter(rng.permutation(np.linspace(SHORTEST, LONGEST, sum(BATCH_SIZES))))
    log_mel, rate = LogMel(model.log_mel.features), model.log_mel.features.sample_rate
    worst, where = 0.0, ""
    for batch_size in BATCH_SIZES:
        waveforms = [recording(model, next(durations), rng) for _ in range(batch_size)]
        expected = torch.stack([one_by_one(model, log_mel(waveform, rate)) for waveform in waveforms])
        try:
            embeddings, scores, seconds = (torch.as_tensor(answer) for answer in run(*padded(waveforms)))
            found = torch.cat([embeddings, scores, seconds[:, None]], 1).view_as(expected)
        except Exception as error:  # TorchScript and onnxruntime each raise a dozen types of their own
            raise UserError(f"{path}: not written: the exported model fails for a batch of {batch_size}") from error
        differences = (found - expected).abs().nan_to_num(torch.inf).amax(1)
        if differences.max() > worst:
            worst, row = (result.item() for result in differences.max(0))
            where = f"{len(waveforms[int(row)]) / rate:.2f} s in a batch of {batch_size}"
    if worst > TOLERANCE:
        raise UserError(
            f"{path}: not written: the exported model differs from the bundle by {worst:.1e} for {where}, "
            f"expected {TOLERANCE:.0e} at most; try the versions of torch and onnxruntime in pyproject.toml"
        )
    return worst


def one_by_one(model: WaveformModel, features: NDArray[np.float32]) -> Tensor:
    """(T, M) features to (E + S + 1,) results of the model's parts, without batch, mask and front end."""
    embedding = model.embedder(torch.from_numpy(features)[None], None)[0]
    seconds = len(features) / model.log_mel.features.frames_per_second
    scores = (model.slopes @ embedding + model.offsets).amax(1) + model.curvatures @ embedding.square()
    return torch.cat([embedding, scores, torch.tensor([seconds])])

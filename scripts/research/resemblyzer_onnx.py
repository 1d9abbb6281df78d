"""Write Resemblyzer's pretrained encoder in ONNX, from samples to embeddings, for `speakerid export --encoder`.

  python scripts/research/resemblyzer_onnx.py resemblyzer.onnx

It needs the extra: pip install -e '.[compare]'. The model does what `VoiceEncoder.embed_utterance` does with samples
at 16 kHz: loudness, mel spectrogram, means over partial utterances; but not the removal of silence by WebRTC's
detector.

Shapes: N samples, T frames, M = 40 mel bands, P partial utterances, D = 256 width of an embedding.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE, WINDOW, HOP, MELS = 16_000, 400, 160, 40
PARTIAL = 160
"""Frames of a partial utterance."""
STEP = round(RATE / 1.3 / HOP)
"""Frames from one to the next."""
COVERAGE = 0.75
"""Smallest share of the last one that must be sound."""
TARGET = 10 ** (-30 / 20)
"""Root mean square that quieter sound is raised to."""


class Resemblyzer(nn.Module):
    """(1, N) samples to a (1, D) embedding of length 1."""

    basis: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated names of SciPy
            from librosa.filters import mel  # pyright: ignore[reportMissingImports]
            from resemblyzer import VoiceEncoder  # pyright: ignore[reportMissingImports]

        encoder = VoiceEncoder("cpu", verbose=False)
        self.lstm, self.linear = encoder.lstm, encoder.linear
        samples = np.arange(WINDOW)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * samples / WINDOW)
        angles = 2 * np.pi / WINDOW * (np.arange(WINDOW // 2 + 1)[:, None] * samples % WINDOW)
        basis = np.concatenate([np.cos(angles), np.sin(angles)]) * hann
        self.register_buffer("basis", torch.from_numpy(basis[:, None]).float())
        self.register_buffer("filters", torch.from_numpy(mel(sr=RATE, n_fft=WINDOW, n_mels=MELS).T).float())

    def forward(self, samples: Tensor) -> Tensor:
        """Embed one recording."""
        level = samples.square().mean().sqrt().clamp(min=1e-9)
        samples = samples * (TARGET / level).clamp(min=1.0)
        length = samples.shape[1]
        parts = F.conv1d(F.pad(samples, (WINDOW // 2, PARTIAL * HOP + WINDOW))[:, None], self.basis, stride=HOP)
        cosines, sines = parts.square().chunk(2, 1)
        mels = (cosines + sines).transpose(1, 2)[0] @ self.filters  # (T, M)
        frames = (length + HOP) // HOP
        steps = torch.as_tensor(frames - PARTIAL + STEP + 1).clamp(min=1)
        count = (steps + STEP - 1) // STEP
        covered = (length - (count - 1) * STEP * HOP).float() / (PARTIAL * HOP)
        count = count - ((covered < COVERAGE) & (count > 1)).long()
        rows = torch.arange(count)[:, None] * STEP + torch.arange(PARTIAL)  # pyright: ignore[reportArgumentType, reportCallIssue]
        _, (hidden, _) = self.lstm(mels[rows])
        partials = F.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        return F.normalize(partials.mean(0, keepdim=True), dim=1)


def export(path: Path) -> None:
    """Write the model."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about every trace
        torch.onnx.export(
            Resemblyzer().eval(), (0.1 * torch.randn(1, 5 * RATE),), path, input_names=["samples"],
            output_names=["embedding"], dynamic_axes={"samples": {1: "N"}}, opset_version=17, dynamo=False,
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file to write")
    export(parser.parse_args().output)

"""Plain implementation of training and inference: PyTorch's own layers, and a file read for every utterance.

Shapes: B utterances in a batch, T frames, M mel bands, D width, S speakers.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

D_MODEL, NHEAD, LAYERS, KERNEL = 80, 1, 3, 31
"""Sizes of both tasks; Task 2's depthwise convolution is torchaudio's, with half as many channels after its gate."""
MAX_GRAD_NORM = 5.0


class PlainTransformer(nn.Module):
    """Task 1 with `torch.nn.TransformerEncoderLayer`, one layer applied three times."""

    def __init__(self, n_mels: int, n_speakers: int, dropout: float) -> None:
        super().__init__()
        self.prenet = nn.Linear(n_mels, D_MODEL)
        self.layer = nn.TransformerEncoderLayer(D_MODEL, NHEAD, 800, dropout, batch_first=True)
        self.classifier = nn.Sequential(nn.Linear(D_MODEL, D_MODEL), nn.ReLU(), nn.Linear(D_MODEL, n_speakers))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) to (B, S) logits."""
        x = self.prenet(features)
        for _ in range(LAYERS):
            x = self.layer(x)
        return self.classifier(x.mean(1))


class PlainConformer(nn.Module):
    """Task 2 with `torchaudio.models.Conformer`, which has three layers' weights."""

    def __init__(self, n_mels: int, n_speakers: int, dropout: float) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio's deprecation warnings
            from torchaudio.models import Conformer
        self.prenet = nn.Linear(n_mels, D_MODEL)
        self.encoder = Conformer(D_MODEL, NHEAD, 500, LAYERS, KERNEL, dropout)
        self.classifier = nn.Sequential(nn.BatchNorm1d(D_MODEL), nn.Linear(D_MODEL, n_speakers))

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) to (B, S) logits."""
        lengths = torch.full(features.shape[:1], features.shape[1], device=features.device)
        x, _ = self.encoder(self.prenet(features), lengths)
        return self.classifier(x.mean(1))


class PlainBatches:
    """Random crops, with every utterance read from its file when it is needed."""

    def __init__(self, files: list[Path], labels: list[int], batch_size: int, crop_frames: int, device: str) -> None:
        self._files, self._labels, self._device = files, labels, device
        self._batch_size, self._crop_frames = batch_size, crop_frames

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """(B, T, M) features and (B,) labels."""
        chosen = torch.randint(len(self._files), (self._batch_size,)).tolist()
        crops = []
        for index in chosen:
            frames = torch.load(self._files[index], weights_only=True)
            start = int(torch.randint(max(len(frames) - self._crop_frames, 0) + 1, ()))
            crops.append(frames[start : start + self._crop_frames])
        labels = torch.tensor([self._labels[index] for index in chosen])
        padded = nn.utils.rnn.pad_sequence(crops, batch_first=True, padding_value=-20.0)
        return padded.to(self._device), labels.to(self._device)


class PlainStep:
    """Training step that reads the loss and the accuracy at once."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        self._model, self._autocast = model, precision == "bfloat16"
        self._optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def __call__(self, features: Tensor, labels: Tensor, *_: Any) -> None:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._autocast):
            logits = self._model(features)
        loss = F.cross_entropy(logits.float(), labels)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), MAX_GRAD_NORM)
        self._optimizer.step()
        self.loss, self.accuracy = loss.item(), (logits.argmax(-1) == labels).float().mean().item()


@torch.no_grad()
def plain_predict(model: nn.Module, files: list[Path], device: str) -> list[int]:
    """Most probable speaker of each utterance, one utterance at a time."""
    model.eval()
    return [int(model(torch.load(file, weights_only=True)[None].to(device)).argmax()) for file in files]

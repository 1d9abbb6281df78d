"""Averages over the frames of an utterance: to pool them, and to take a constant channel out.

Letters: B utterances in a batch, T frames, D width.
"""

from torch import Tensor, nn

from speakerid.layers.masks import zero_padding


class MeanPooling(nn.Module):
    """Average over the real frames."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, D)."""
        if mask is None:
            return x.mean(1)
        return zero_padding(x, mask).sum(1) / mask.sum(1, keepdim=True)


class MeanSubtraction(nn.Module):
    """Subtract the average over the real frames (cepstral mean normalisation, Atal, 1974).

    In log-mel features a microphone's curve is a constant added to every frame, and goes with the mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanPooling()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        return x - self.mean(x, mask)[:, None]

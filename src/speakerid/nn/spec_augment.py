"""SpecAugment: random masks over frames and mel bands.

Shapes: B batch, T frames, M mel bands, K masks.
"""

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """SpecAugment (Park et al., 2019, section 2) without time warping, which the paper found to matter least.

    Every utterance gets its own masks. A mask's width is uniform between 0 and the largest, its start uniform where it
    fits. Masked values become a mean, as in the paper, where features have mean 0: masked bands the mean of the
    utterance, then masked frames the mean of each band, so that a model that subtracts a band's mean sees 0.

    Args:
        time_masks: K of the masks over frames.
        time_width: largest width of a mask over frames.
        band_masks: K of the masks over bands.
        band_width: largest width of a mask over bands.
    """

    def __init__(self, time_masks: int = 2, time_width: int = 20, band_masks: int = 2, band_width: int = 6) -> None:
        super().__init__()
        self.time_masks, self.time_width = time_masks, time_width
        self.band_masks, self.band_width = band_masks, band_width

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) to (B, T, M)."""
        n_utterances, n_frames, n_bands = features.shape
        if self.band_masks:
            hidden = random_spans(n_utterances, self.band_masks, self.band_width, n_bands, features.device)
            features = torch.where(hidden[:, None, :], features.mean((1, 2), keepdim=True), features)
        if self.time_masks:
            hidden = random_spans(n_utterances, self.time_masks, self.time_width, n_frames, features.device)
            features = torch.where(hidden[:, :, None], features.mean(1, keepdim=True), features)
        return features


def random_spans(n_rows: int, count: int, widest: int, length: int, device: torch.device | str = "cpu") -> Tensor:
    """(n_rows, length), true in `count` random spans of 0 to `widest` elements, which may overlap."""
    widths, starts = torch.rand(2, n_rows, count, 1, device=device)
    widths = (widths * (min(widest, length) + 1)).floor()
    starts = (starts * (length - widths + 1)).floor()
    positions = torch.arange(length, device=device)
    return ((starts <= positions) & (positions < starts + widths)).any(1)

"""Hiding stretches of frames and bands while training.

Letters: B utterances in a batch, T frames, M mel bands, K masks.
"""

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Park et al., 2019, section 2, without the time warping, which that paper found to matter least.

    Every utterance gets masks of its own. A mask's width is any whole number up to the widest alike, and it lies
    anywhere that it fits. What is hidden of a log-mel is set to a mean, as in the paper, where features have mean 0:
    bands to the utterance's, and then frames to each band's, so that a model that subtracts a band's mean sees 0.

    Args:
        time_masks: K for stretches of frames.
        time_width: frames that a mask hides at most.
        band_masks: K for stretches of bands.
        band_width: bands that a mask hides at most.
    """

    def __init__(self, time_masks: int = 2, time_width: int = 20, band_masks: int = 2, band_width: int = 6) -> None:
        super().__init__()
        self.time_masks, self.time_width = time_masks, time_width
        self.band_masks, self.band_width = band_masks, band_width

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, M) to (B, T, M)."""
        n_utterances, n_frames, n_bands = features.shape
        if self.band_masks:
            hidden = stretches(n_utterances, self.band_masks, self.band_width, n_bands, features.device)
            features = torch.where(hidden[:, None, :], features.mean((1, 2), keepdim=True), features)
        if self.time_masks:
            hidden = stretches(n_utterances, self.time_masks, self.time_width, n_frames, features.device)
            features = torch.where(hidden[:, :, None], features.mean(1, keepdim=True), features)
        return features


def stretches(n_rows: int, count: int, widest: int, length: int, device: torch.device | str = "cpu") -> Tensor:
    """(n_rows, length), true in `count` stretches of 0 to `widest` places, which may overlap."""
    widths, starts = torch.rand(2, n_rows, count, 1, device=device)
    widths = (widths * (min(widest, length) + 1)).floor()
    starts = (starts * (length - widths + 1)).floor()
    places = torch.arange(length, device=device)
    return ((starts <= places) & (places < starts + widths)).any(1)

"""From frames to one vector an utterance.

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

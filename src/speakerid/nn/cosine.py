"""Cosine classifier.

Shapes: N examples, D width, S speakers, K centers per speaker.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.nn.layers import BatchNorm


class CosineClassifier(nn.Module):
    """scale · max_k cos θ_k, with θ_k the angle between an embedding and a speaker's k-th center.

    Wang et al., 2018 (CosFace, section 3.1); several centers: Deng et al., 2020 (sub-center ArcFace, section 3.2).
    Margins are applied by the loss, which divides the logits by `scale` to get the cosines.

    Args:
        d_model: D.
        n_speakers: S.
        scale: factor on the cosines, since a softmax of numbers between −1 and 1 is nearly flat.
        sub_centers: K, so that a mislabeled or odd recording can have a center of its own.
        batch_norm: standardize every channel first, which removes what all embeddings have in common.
    """

    def __init__(
        self, d_model: int, n_speakers: int, scale: float = 30.0, sub_centers: int = 1, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.norm = BatchNorm(d_model) if batch_norm else nn.Identity()
        # Uniform over directions. Not `normal_`, see `GatingMLP`.
        self.weight = nn.Parameter(torch.normal(0.0, 1.0, (sub_centers, n_speakers, d_model)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, S)."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has only three digits for a cosine
            x = F.normalize(self.norm(x.to(self.weight.dtype)), dim=-1)
            cosines = x @ F.normalize(self.weight, dim=-1).mT  # (K, N, S)
            return self.scale * cosines.amax(0)

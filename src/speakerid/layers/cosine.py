"""A classifier that looks at directions alone.

Letters: N examples, D width, S speakers, K centres a speaker.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speakerid.layers.batch_norm import BatchNorm


class CosineClassifier(nn.Module):
    """scale · max_k cos θ_k, with θ_k the angle between an embedding and a speaker's k-th centre.

    Wang et al., 2018 (CosFace, section 3.1); several centres: Deng et al., 2020 (sub-center ArcFace, section 3.2). A
    margin is the loss's business: divided by `scale`, the logits are cosines.

    Args:
        d_model: D.
        n_speakers: S.
        scale: of the cosines, since a softmax of numbers between −1 and 1 is nearly flat.
        sub_centers: K, so that a mislabelled or odd recording may find a centre of its own.
        batch_norm: standardise every channel first, which takes out what all embeddings have in common.
    """

    def __init__(
        self, d_model: int, n_speakers: int, scale: float = 30.0, sub_centers: int = 1, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.scale = scale
        self.norm = BatchNorm(d_model) if batch_norm else nn.Identity()
        self.weight = nn.Parameter(torch.empty(sub_centers, n_speakers, d_model))
        nn.init.normal_(self.weight)  # every direction alike

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) to (N, S)."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 knows a cosine to three digits only
            x = F.normalize(self.norm(x.to(self.weight.dtype)), dim=-1)
            cosines = x @ F.normalize(self.weight, dim=-1).mT  # (K, N, S)
            return self.scale * cosines.amax(0)

"""Models of PyTorch, torchaudio and SpeechBrain, for training by this package's trainer.

Each is made from the settings of a config and the numbers of mel bands, speakers and extra classes, as required by
`speakerid.training.run.train`.

Shapes: B utterances in a batch, T frames, M mel bands, D width, S speakers.
"""

import warnings

import torch
from torch import Tensor, nn

from speakerid import SpeakerClassifier
from speakerid.config import ModelConfig
from speakerid.config.model import ConformerConfig, TransformerConfig
from speakerid.nn import MeanSubtraction, zero_padding
from speakerid.nn.build import build_classifier

ECAPA_WIDTH = 192
"""Width of ECAPA-TDNN's embeddings (Desplanques et al., 2020)."""


class TorchEncoder(nn.Module):
    """Encoder of the HW4 sample code: a sequence of PyTorch's own post-norm layers."""

    def __init__(self, config: TransformerConfig, d_model: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(d_model, config.nhead, config.dim_feedforward, config.dropout, batch_first=True)
            for _ in range(config.num_layers)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=None if mask is None else ~mask)
        return x


class TorchaudioEncoder(nn.Module):
    """`torchaudio.models.Conformer`."""

    def __init__(self, config: ConformerConfig, d_model: int) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio's deprecation warnings
            from torchaudio.models import Conformer
        self.conformer = Conformer(
            d_model, config.nhead, config.dim_feedforward, config.num_layers, config.kernel_size, config.dropout
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        lengths = torch.full(x.shape[:1], x.shape[1], device=x.device) if mask is None else mask.sum(1)
        return self.conformer(x, lengths)[0]


class Ecapa(nn.Module):
    """ECAPA-TDNN (Desplanques et al., 2020) as implemented in SpeechBrain, after its mean normalization."""

    def __init__(self, config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> None:
        super().__init__()
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # pyright: ignore[reportMissingImports]

        self.n_speakers = n_speakers
        self.input_norm = MeanSubtraction()
        self.encoder = ECAPA_TDNN(n_mels, lin_neurons=ECAPA_WIDTH)
        self.classifier = build_classifier(config.classifier, ECAPA_WIDTH, n_speakers + n_extra)

    def embed(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) features and (B, T) frame mask to (B, ECAPA_WIDTH) embeddings."""
        features = zero_padding(self.input_norm(features, mask), mask)
        lengths = None if mask is None else mask.float().mean(1)
        return self.encoder(features, lengths).squeeze(1)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, M) features and (B, T) frame mask to (B, S) logits; in training with those of the extra classes."""
        logits = self.classifier(self.embed(features, mask))
        return logits if self.training else logits[:, : self.n_speakers]


def make_course_sample(config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> nn.Module:
    assert isinstance(config.encoder, TransformerConfig)
    model = SpeakerClassifier(config, n_mels, n_speakers, n_extra)
    model.encoder = TorchEncoder(config.encoder, config.d_model)
    return model


def make_torchaudio_conformer(config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> nn.Module:
    assert isinstance(config.encoder, ConformerConfig)
    model = SpeakerClassifier(config, n_mels, n_speakers, n_extra)
    model.encoder = TorchaudioEncoder(config.encoder, config.d_model)
    return model

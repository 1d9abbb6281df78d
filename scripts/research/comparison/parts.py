"""Add parts of ECAPA-TDNN to `few_minutes`, and remove them from ECAPA-TDNN, to measure the effect of each.

Shapes: B utterances in a batch, T frames, D width, H inner width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from speakerid import SpeakerClassifier
from speakerid.config import ModelConfig
from speakerid.nn import BatchNorm, ConformerBlock, MeanPooling, StatisticsPooling, zero_padding
from speakerid.nn.pooling import weighted_statistics
from speakerid.training.run import MakeModel

from .networks import ECAPA_WIDTH, Ecapa


class FrameNorm(nn.Module):
    """BatchNorm over the frames of all utterances."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.norm(x.flatten(0, 1)).view_as(x)


class SqueezeExcitation(nn.Module):
    """Module whose channels are scaled depending on their means over time (Hu et al., 2018)."""

    def __init__(self, module: nn.Module, width: int, inner: int) -> None:
        super().__init__()
        self.module = module
        self.mean = MeanPooling()
        self.gate = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width), nn.Sigmoid())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, T, D)."""
        x = self.module(x, mask)
        return x * self.gate(self.mean(x, mask))[:, None]


class ContextPooling(nn.Module):
    """Weighted statistics; weights depend on the frame and the global statistics (Desplanques et al., 2020, 3.1)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.statistics = StatisticsPooling()
        self.of_frame = nn.Linear(width, inner)
        self.of_all = nn.Linear(2 * width, inner, bias=False)
        self.norm = FrameNorm(inner)
        self.score = nn.Linear(inner, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, D) and (B, T) frame mask to (B, 2·D)."""
        hidden = self.of_frame(x) + self.of_all(self.statistics(x, mask))[:, None]
        scores = self.score(self.norm(hidden.relu()).tanh())
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], -torch.inf)
        return weighted_statistics(zero_padding(x, mask), scores.softmax(1))


def changed(change: Callable[[SpeakerClassifier, ModelConfig], None]) -> MakeModel:
    """Function that makes models with a part exchanged."""

    def make_model(config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> nn.Module:
        model = SpeakerClassifier(config, n_mels, n_speakers, n_extra)
        change(model, config)
        return model

    return make_model


def squeeze(model: SpeakerClassifier, config: ModelConfig) -> None:
    for block in _blocks(model):
        block.convolution = SqueezeExcitation(block.convolution, config.d_model, 32)  # pyright: ignore[reportAttributeAccessIssue]


def batch_norms(model: SpeakerClassifier, config: ModelConfig) -> None:
    for block in _blocks(model):
        for name in ("first_norm", "attention_norm", "convolution_norm", "second_norm", "final_norm"):
            setattr(block, name, FrameNorm(config.d_model))


def wide_norm(model: SpeakerClassifier, config: ModelConfig) -> None:
    model.expansion = nn.Sequential(model.expansion, FrameNorm(config.pooled_width))


def context_pooling(model: SpeakerClassifier, config: ModelConfig) -> None:
    model.pooling = ContextPooling(config.pooled_width, 64)


def _blocks(model: SpeakerClassifier) -> list[ConformerBlock]:
    return [module for module in model.modules() if isinstance(module, ConformerBlock)]


def make_ecapa(
    channels: int,
    pooled: int | None = None,
    squeezes: bool = True,
    aggregates: bool = True,
    attends: bool = True,
) -> MakeModel:
    """ECAPA-TDNN of other widths, without some of its parts.

    Args:
        channels: channels of the blocks.
        pooled: channels that are pooled; by default three times as many.
        squeezes: use squeeze and excitation in every block.
        aggregates: pass all blocks' outputs to the last layer, instead of only the last block's.
        attends: pool by attention, instead of by the plain mean and standard deviation.
    """

    def make_model(config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> nn.Module:
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, TDNNBlock  # pyright: ignore[reportMissingImports]

        width = pooled or 3 * channels
        model = Ecapa(config, n_mels, n_speakers, n_extra)
        ecapa = model.encoder = ECAPA_TDNN(n_mels, lin_neurons=ECAPA_WIDTH, channels=[channels] * 4 + [width])
        if not squeezes:
            for block in list(ecapa.blocks)[1:]:
                block.se_block = _Same()
        if not aggregates:
            ecapa.mfa = nn.Sequential(_LastChannels(channels), TDNNBlock(channels, width, 1, 1))
        if not attends:
            ecapa.asp = _Plain()
        return model

    return make_model


class _Same(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return x


class _LastChannels(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, T) to (B, count, T)."""
        return x[:, -self.count :]


class _Plain(nn.Module):
    """Statistics in SpeechBrain's order of dimensions; without a mask, since utterances come alone."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics = StatisticsPooling()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, D, T) to (B, 2·D, 1)."""
        return self.statistics(x.transpose(1, 2))[..., None]

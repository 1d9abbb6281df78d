"""Layers, encoders and models, from scratch: `from speakerid.nn import ConformerEncoder`.

Every module is called with numbers, not with settings, and computes (B, T, D) frames with a (B, T) frame mask, true at
real frames; see each class.
"""

from speakerid.layers.attention import MultiHeadAttention, RelativePositionAttention
from speakerid.layers.batch_norm import BatchNorm
from speakerid.layers.channel_augment import ChannelAugment
from speakerid.layers.convolution import ConvolutionModule, DepthwiseConv
from speakerid.layers.cosine import CosineClassifier
from speakerid.layers.dropout import Dropout
from speakerid.layers.feed_forward import FeedForward
from speakerid.layers.gating import GatingMLP
from speakerid.layers.masks import frame_mask, zero_padding
from speakerid.layers.pooling import (
    AttentiveStatisticsPooling,
    MeanPooling,
    MeanSubtraction,
    SelfAttentivePooling,
    StatisticsPooling,
)
from speakerid.layers.spec_augment import SpecAugment
from speakerid.layers.stack import LayerStack
from speakerid.layers.subsampling import Subsampling
from speakerid.models.branchformer import (
    BranchformerBlock,
    BranchformerEncoder,
    EBranchformerBlock,
    EBranchformerEncoder,
)
from speakerid.models.classifier import SpeakerClassifier
from speakerid.models.conformer import ConformerBlock, ConformerEncoder
from speakerid.models.transformer import TransformerEncoder, TransformerEncoderLayer

__all__ = [
    "AttentiveStatisticsPooling",
    "BatchNorm",
    "BranchformerBlock",
    "BranchformerEncoder",
    "ChannelAugment",
    "ConformerBlock",
    "ConformerEncoder",
    "ConvolutionModule",
    "CosineClassifier",
    "DepthwiseConv",
    "Dropout",
    "EBranchformerBlock",
    "EBranchformerEncoder",
    "FeedForward",
    "GatingMLP",
    "LayerStack",
    "MeanPooling",
    "MeanSubtraction",
    "MultiHeadAttention",
    "RelativePositionAttention",
    "SelfAttentivePooling",
    "SpeakerClassifier",
    "SpecAugment",
    "StatisticsPooling",
    "Subsampling",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "frame_mask",
    "zero_padding",
]

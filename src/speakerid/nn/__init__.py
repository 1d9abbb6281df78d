"""Layers, encoders and models, from scratch: `from speakerid.nn import ConformerEncoder`.

Every module is called with numbers, not with settings, and computes (B, T, D) frames with a (B, T) frame mask, true at
real frames; see each class.
"""

from speakerid.nn.attention import MultiHeadAttention, RelativePositionAttention
from speakerid.nn.branchformer import (
    BranchformerBlock,
    BranchformerEncoder,
    EBranchformerBlock,
    EBranchformerEncoder,
    GatingMLP,
)
from speakerid.nn.channel_augment import ChannelAugment
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.nn.conformer import ConformerBlock, ConformerEncoder, ConvolutionModule
from speakerid.nn.cosine import CosineClassifier
from speakerid.nn.depthwise import DepthwiseConv
from speakerid.nn.dropout import Dropout
from speakerid.nn.encoder import Encoder
from speakerid.nn.layers import (
    BatchNorm,
    FeedForward,
    Subsampling,
    frame_mask,
    zero_padding,
)
from speakerid.nn.pooling import (
    AttentiveStatisticsPooling,
    MeanPooling,
    MeanSubtraction,
    SelfAttentivePooling,
    StatisticsPooling,
)
from speakerid.nn.spec_augment import SpecAugment
from speakerid.nn.transformer import TransformerEncoder, TransformerEncoderLayer

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
    "Encoder",
    "FeedForward",
    "GatingMLP",
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

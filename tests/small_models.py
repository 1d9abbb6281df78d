"""Small settings of every kind of encoder and pooling."""

from typing import Any

TRANSFORMER = {"kind": "transformer", "dim_feedforward": 12}
CONFORMER = {"kind": "conformer", "dim_feedforward": 12, "kernel_size": 5}
BRANCHFORMER = {"kind": "branchformer", "dim_gating": 12, "kernel_size": 5}
E_BRANCHFORMER = BRANCHFORMER | {"kind": "e_branchformer", "dim_feedforward": 12, "merge_kernel_size": 3}
ENCODERS: dict[str, dict[str, Any]] = {
    "post-norm transformer": TRANSFORMER,
    "pre-norm transformer": TRANSFORMER | {"norm_first": True},
    "rotary transformer": TRANSFORMER | {"norm_first": True, "positions": "rotary"},
    "glu conformer": CONFORMER,
    "no_glu conformer": CONFORMER | {"glu": False, "conv_channels": 12},
    "rotary conformer": CONFORMER | {"positions": "rotary"},
    "placeless conformer": CONFORMER | {"positions": "none", "macaron": False},
    "branchformer": BRANCHFORMER,
    "rotary branchformer": BRANCHFORMER | {"positions": "rotary"},
    "e_branchformer": E_BRANCHFORMER,
}
POOLINGS: dict[str, Any] = {
    "mean": "mean",
    "statistics": "statistics",
    "self-attentive": {"kind": "self_attentive", "nhead": 2, "dim_attention": 6},
    "attentive statistics": {"kind": "attentive_statistics", "dim_attention": 6},
    "grouped statistics": {"kind": "attentive_statistics", "nhead": 4, "dim_attention": 6},
}

"""Arithmetic of the steps of a run: `train.precision`, with `auto` resolved for the device."""

import os
import platform
from dataclasses import dataclass

import torch

from speakerid.base.distributed import gathered
from speakerid.config.train import Precision

_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN, which multiplies matrices on a CPU, from newer instructions."""
_UNITS_UNDER = {
    "SSE41": (), "AVX": (), "AVX2": (), "AVX2_VNNI": (), "AVX2_VNNI_2": (), "AVX512_CORE": (), "AVX512_CORE_VNNI": (),
    "AVX512_CORE_BF16": ("avx512_bf16",), "AVX512_CORE_FP16": ("avx512_bf16",), "AVX10_1_512": ("avx512_bf16",),
}  # fmt: skip
"""Units for bfloat16 that remain under a limit; other values limit neither."""


@dataclass(frozen=True)
class ChosenPrecision:
    """Arithmetic of a run, and why it was chosen."""

    name: Precision
    reason: str = ""
    """Empty if the settings name the arithmetic."""

    def autocast(self, device: torch.device) -> torch.autocast:
        """Compute matrix products in bfloat16 while the block runs, if that was chosen."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.name == "bfloat16")

    def __str__(self) -> str:
        return f"precision: {self.name}" + (f" ({self.reason})" if self.reason else "")


def choose_precision(setting: Precision, device: torch.device) -> ChosenPrecision:
    """Resolve `auto`: bfloat16 if the devices of all processes of the run compute it, else float32.

    A device that lacks the instructions emulates bfloat16, which takes several times as long as float32.
    """
    if setting != "auto":
        return ChosenPrecision(setting)
    units = gathered(bfloat16_unit(device))
    if all(units):
        return ChosenPrecision("bfloat16", f"this {_kind(device)} computes it: {units[0]}")
    if any(units):
        return ChosenPrecision("float32", "some processes of the run would emulate bfloat16")
    if device.type == "cuda" or (device.type == "cpu" and platform.machine().lower() in ("x86_64", "amd64")):
        return ChosenPrecision("float32", f"this {_kind(device)} would emulate bfloat16")
    return ChosenPrecision("float32", "bfloat16 is chosen on x86 processors and CUDA GPUs only")


def parameter_dtype(setting: Precision) -> torch.dtype:
    """Type of the parameters; autocast leaves them in float32."""
    return torch.float64 if setting == "float64" else torch.float32


def bfloat16_unit(device: torch.device) -> str:
    """Unit of the device that multiplies matrices in bfloat16: `amx`, `avx512_bf16` or `tensor cores`; empty if none.

    On a CPU, a limit of oneDNN's instructions (ONEDNN_MAX_CPU_ISA) counts as a lack of the unit.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return "tensor cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if device.type != "cpu":
        return ""
    limit = next((os.environ[name].upper() for name in _ONEDNN_LIMITS if os.environ.get(name)), "")
    allowed = _UNITS_UNDER.get(limit, ("amx", "avx512_bf16"))
    return next((unit for unit in _units_of_processor() if unit in allowed), "")


def _units_of_processor() -> list[str]:
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        present = {"amx": found.get("amx_bf16", False), "avx512_bf16": found.get("avx512_bf16", False)}
    else:  # PyTorch 2.11 has no public query
        present = {
            "amx": torch.cpu._is_amx_tile_supported(),  # pyright: ignore
            "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),  # pyright: ignore
        }
    return [unit for unit, is_present in present.items() if is_present]


def _kind(device: torch.device) -> str:
    return "GPU" if device.type == "cuda" else "processor"

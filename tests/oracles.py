"""Libraries to compare with that need not be installed."""

import importlib
from typing import Any

import pytest
import torch


def import_torchaudio(name: str = "torchaudio") -> Any:
    """torchaudio or one of its modules; skips the test if its binary does not load beside this torch."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        pytest.skip(f"torchaudio cannot be imported beside torch {torch.__version__}: {error.__cause__ or error}")

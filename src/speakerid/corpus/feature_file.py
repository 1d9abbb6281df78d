"""One utterance's features in a file: a (T, M) float32 tensor, as the course's editions have them."""

from pathlib import Path

import torch
from torch import Tensor

from speakerid.errors import UserError
from speakerid.files import load_plain, save_plain


def save(path: Path, features: Tensor) -> None:
    """Write one utterance's (T, M) float32 features."""
    assert features.dim() == 2
    assert features.dtype == torch.float32
    save_plain(path, features.clone())  # clone: a view would be written with the whole storage behind it


def load(path: Path, length: int, n_mels: int) -> Tensor:
    """One utterance's features, checked.

    Args:
        path: of the tensor file.
        length: frames the metadata promises.
        n_mels: bands the metadata promises.

    Returns:
        (length, n_mels) float32.

    Raises:
        UserError: naming what is wrong with the file; one that carries code is refused without running it.
    """
    try:
        features = load_plain(path)
    except FileNotFoundError as error:
        raise UserError("the file is missing; restore it or remove its entry") from error
    if not isinstance(features, Tensor):
        raise UserError(f"holds {type(features).__name__}, expected one tensor of shape ({length}, {n_mels})")
    if features.layout != torch.strided or features.device.type != "cpu":
        raise UserError(f"holds a {features.layout} tensor on {features.device}, expected a plain one")
    if features.dtype != torch.float32:
        raise UserError(f"holds {features.dtype}, expected torch.float32")
    if tuple(features.shape) != (length, n_mels):
        raise UserError(f"shape {tuple(features.shape)}, expected ({length}, {n_mels}) from mel_len and n_mels")
    if not bool(torch.isfinite(features).all()):
        raise UserError("holds NaN or infinite values; compute it again")
    return features.detach()

"""Feature file of one utterance: a (T, M) tensor of T frames and M mel bands, float32 in the HW4 data and as written.

Tensors of other floating-point types and arrays saved by `numpy.save` are read as well.
"""

import io
import pickletools
import re
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file, check_regular
from speakerid.base.plain_data import load_plain, save_plain

_HEAD = 1 << 16
"""Number of bytes of a pickle to inspect for error messages."""
_TENSOR = re.compile(r"encode|_rebuild_(tensor|tensor_v2|parameter)|_load_from_bytes|\w+Storage|OrderedDict|storage")
_ARRAY = re.compile(r"_reconstruct|_frombuffer|ndarray|dtype|scalar|encode|storage")


def save(path: Path, features: Tensor) -> None:
    """Write one utterance's (T, M) float32 features."""
    assert features.dim() == 2
    assert features.dtype == torch.float32
    save_plain(path, features.clone())  # clone: a view would be saved with its whole storage


def update(path: Path, features: Tensor) -> None:
    """Write one utterance's (T, M) float32 features unless the file already has exactly this content."""
    assert features.dim() == 2
    assert features.dtype == torch.float32
    buffer = io.BytesIO()
    torch.save(features.clone(), buffer)
    content = buffer.getvalue()
    with suppress(OSError):
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def load(path: Path, length: int, n_mels: int) -> Tensor:
    """Load and check one utterance's features.

    Args:
        path: feature file.
        length: number of frames in the metadata.
        n_mels: number of mel bands in the metadata.

    Returns:
        (length, n_mels) float32.

    Raises:
        UserError: the file is missing, damaged or has other content. A pickle with code is refused without running it.
    """
    try:
        features = load_plain(path)
    except FileNotFoundError as error:
        raise UserError("the file is missing; restore it or remove its entry") from error
    except UserError as error:
        features = _load_foreign(path, error)
    if not isinstance(features, (Tensor, np.ndarray)):
        raise UserError(f"holds {type(features).__name__}, expected one tensor of shape ({length}, {n_mels})")
    if isinstance(features, Tensor):
        _check_plain(features)
    _check_shape(tuple(features.shape), length, n_mels)
    if isinstance(features, np.ndarray):
        features = torch.from_numpy(_as_float32(features))
    features = features.detach().float()
    if not bool(torch.isfinite(features).all()):
        raise UserError("holds NaN or infinite values; compute it again")
    return features


def _check_plain(features: Tensor) -> None:
    if features.layout != torch.strided or features.device.type != "cpu":
        raise UserError(f"holds a {features.layout} tensor on {features.device}, expected a plain one")
    if not features.is_floating_point():
        raise UserError(f"holds {features.dtype}, expected torch.float32 or another floating-point type")


def _check_shape(shape: tuple[int, ...], length: int, n_mels: int) -> None:
    if shape == (length, n_mels):
        return
    if shape == (n_mels, length):
        remedy = "; it is transposed, frames must come first"
    elif len(shape) == 3 and 1 in shape:
        remedy = "; save it without the dimension of size 1"
    elif len(shape) == 2 and shape[1] == n_mels:
        remedy = f"; correct mel_len to {shape[0]}, if the file is right"
    else:
        remedy = ""
    raise UserError(f"shape {shape}, expected ({length}, {n_mels}) from mel_len and n_mels{remedy}")


def _load_foreign(path: Path, error: UserError) -> np.ndarray:
    """Load the NumPy array from a file that is not a tensor file.

    Raises:
        UserError: says what the file holds instead; `error` if that is unknown.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            begin = file.read(_HEAD)
    except (OSError, UserError):
        raise error from None
    if begin.startswith(npy.MAGIC_PREFIX):
        try:
            # Memory-mapped, so a false size in the header allocates nothing.
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as reason:  # damaged headers raise various exceptions
            raise UserError("a damaged array of numpy.save; write it again") from reason
    if begin.startswith((b"version https://git-lfs", b"<")):
        raise UserError("holds a web page or a Git LFS pointer, expected a tensor; fetch the file itself") from error
    content = _pickle_in(path, begin)
    raise (_foreign_pickle(content, archived=content is not begin) or error) from error


def _as_float32(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise UserError(f"holds {array.dtype}, expected float32 or another floating-point type")
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for infinite values
        return np.array(array, np.float32)


def _foreign_pickle(content: bytes, archived: bool) -> UserError | None:
    """Error for a pickled tensor or array that `torch.save` did not write; None if the pickle holds anything else.

    The pickle is inspected and never loaded.
    """
    if content[:1] != b"\x80":
        return None
    names, protocol = _globals(content), content[1]
    is_default_format = archived and protocol == 2  # something else is wrong then
    if names and all(map(_TENSOR.fullmatch, names)) and not is_default_format:
        return UserError(
            f"holds a tensor that was not pickled like torch.save does by default (protocol {protocol}); write it with "
            "torch.save(tensor, path)"
        )
    if names and all(map(_ARRAY.fullmatch, names)):
        return UserError("holds a pickled NumPy array; write it with torch.save(torch.from_numpy(array), path)")
    return None


def _pickle_in(path: Path, begin: bytes) -> bytes:
    """Beginning of the pickle in an archive written by `torch.save`; of any other file, `begin`."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # the caller already has an error to raise
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        with archive.open(name) as file:
            return file.read(_HEAD)
    return begin


def _globals(content: bytes) -> set[str]:
    """Unqualified names that a pickle, or several consecutive ones, import."""
    names, stream = set[str](), io.BytesIO(content)
    with suppress(ValueError, IndexError):  # truncated or damaged
        while True:
            texts, memo = list[str](), list[str]()
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    names.add(str(argument).rpartition(" ")[2])
                elif operation.name == "STACK_GLOBAL":
                    names.add(texts[-1])
                elif operation.name == "MEMOIZE":
                    memo.append(texts[-1] if texts else "")
                elif operation.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
                    texts.append(memo[argument] if argument < len(memo) else "")
                elif isinstance(argument, str):
                    texts.append(argument)
    return names

"""Files of tensors and plain Python data, which execute nothing when they are read."""

import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.errors import UserError
from speakerid.files import check_regular
from speakerid.tensor_claims import check_claims

if TYPE_CHECKING:
    from torch import Tensor


def save_plain(path: Path, content: object) -> None:
    """Write tensors and plain Python data; a full disk is an OSError, where `torch.save` to a path crashes."""
    import torch  # here, for processes that prepare recordings do without

    buffer = io.BytesIO()
    torch.save(content, buffer)
    # Not getbuffer(): an export still alive in a traceback crashes the garbage collector of Python 3.12.1.
    path.write_bytes(buffer.getvalue())


def load_plain(path: Path) -> object:
    """What `save_plain` or `torch.save` wrote, on the CPU, without executing anything from it.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, is damaged or carries code; the message does not name it.
    """
    import torch

    try:
        check_regular(path)
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise UserError("needs more memory than there is") from error
    try:
        check_claims(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old or foreign formats: they are read or refused below
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if any(tensor.layout is torch.strided and _is_repeated(tensor) for tensor in _tensors(loaded)):
            raise UserError("damaged: a tensor claims more elements than the file holds")
        return loaded
    except UserError:
        raise
    except MemoryError as error:
        raise UserError("needs more memory than there is") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            "holds Python objects or code instead of plain data; refused, do not trust its source"
        ) from error
    except Exception as error:  # damaged bytes end in any of a dozen exceptions of torch, zipfile and pickle
        raise UserError("truncated or not a tensor file; write it again") from error


def _is_repeated(tensor: "Tensor") -> bool:
    """Whether a tensor shows its storage more than once, so that a copy of it can be of any size."""
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _tensors(content: object) -> "Iterator[Tensor]":
    """All tensors in nested containers."""
    import torch

    waiting, seen = [content], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value

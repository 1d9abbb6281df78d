"""Files of tensors and plain Python data; reading them executes no code."""

import io
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.base.files import check_regular
from speakerid.base.pickle_sizes import check_claims

if TYPE_CHECKING:
    from torch import Tensor


def save_plain(path: Path, content: object) -> None:
    """Write tensors and plain Python data; a full disk raises an OSError, while `torch.save` to a path crashes."""
    import torch  # here, since processes that prepare recordings do not need it

    buffer = io.BytesIO()
    torch.save(content, buffer)
    # Not getbuffer(): a buffer kept alive by a traceback crashes the garbage collector of Python 3.12.1.
    path.write_bytes(buffer.getvalue())


def load_plain(path: Path) -> object:
    """Load onto the CPU what `save_plain` or `torch.save` wrote, without executing any code.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: the file cannot be read, is damaged or contains code; the message does not contain its name.
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
        raise UserError("needs more memory than is available") from error
    try:
        check_claims(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old or foreign formats, which are read or refused below
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        if any(tensor.layout is torch.strided and _is_repeated(tensor) for tensor in _tensors(loaded)):
            raise UserError("damaged: a tensor claims more elements than the file holds")
        return loaded
    except UserError:
        raise
    except MemoryError as error:
        raise UserError("needs more memory than is available") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            "holds Python objects or code instead of plain data; refused, do not trust its source"
        ) from error
    except Exception as error:  # damaged bytes raise any of a dozen exceptions of torch, zipfile and pickle
        raise UserError("truncated or not a tensor file; write it again") from error


def _is_repeated(tensor: "Tensor") -> bool:
    """Whether a tensor repeats elements of its storage, so that a copy of it could have any size."""
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

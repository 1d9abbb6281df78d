"""Check the sizes that the pickle in a tensor file claims against the file, before `torch.load` relies on them.

`torch.load` takes the size of a storage from the pickle: in an archive it reads beyond the end of the record, and in
the format before torch 1.6 it allocates the claimed size first.
"""

import io
import pickle
import pickletools
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from speakerid.base.errors import UserError

_MARK = object()
_FOLDER = 0x10
"""Bit of a record's MS-DOS attributes that marks a folder in a zip archive."""
_PUT, _GET = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
_PROTOCOL = 2
"""Newest pickle protocol that `torch.load` reads without executing code."""
_WIDTHS = {
    "ComplexDoubleStorage": 16, "DoubleStorage": 8, "ComplexFloatStorage": 8, "LongStorage": 8, "FloatStorage": 4,
    "IntStorage": 4, "QInt32Storage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2, "CharStorage": 1,
    "ByteStorage": 1, "BoolStorage": 1, "QInt8Storage": 1, "QUInt8Storage": 1, "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1, "UntypedStorage": 1,
}  # fmt: skip
"""Bytes of one element."""


def check_claims(content: bytes) -> None:
    """Check that a tensor file is undamaged and does not claim more than it holds.

    Args:
        content: content of the whole file.

    Raises:
        UserError: the file is damaged or claims too much; the message does not contain its name.
        ValueError, KeyError, IndexError, zipfile.BadZipFile: not a tensor file.
    """
    if content.startswith(b"\x93NUMPY"):
        raise UserError("found a NumPy array (.npy), expected a tensor written by torch.save")
    if not zipfile.is_zipfile(io.BytesIO(content)):
        _check_old_format(content)
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = archive.infolist()
        sizes = {record.filename: record.file_size for record in records}
        # torch skips a record marked as a folder, and then uses uninitialized memory as its content.
        if archive.testzip() or any(record.external_attr & _FOLDER for record in records):
            raise UserError("damaged: a part of it differs from its checksum; write it again")
        if len(sizes) < len(records) or any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise UserError("found a repacked archive, expected what torch.save writes; write it again")
        pickled = [name for name in sizes if name.endswith("/data.pkl")]
        if not pickled:
            return  # torch reports what it is
        folder = pickled[0].removesuffix("/data.pkl")
        for key, claimed in _storages(io.BytesIO(archive.read(pickled[0]))):
            if claimed > sizes[f"{folder}/data/{key}"]:
                raise UserError(f"damaged: a tensor claims {claimed:,} bytes, more than the file holds")


def _check_old_format(content: bytes) -> None:
    """Check a file of torch before 1.6: three pickles, that of the tensors, one of their keys, and the tensors."""
    file = io.BytesIO(content)
    for _ in range(3):
        _check_protocol(file)
    claimed = sum(size for _, size in {key: (key, size) for key, size in _storages(file)}.values())
    if claimed > len(content):
        raise UserError(f"damaged: tensors claim {claimed:,} bytes, more than the file holds")


def _check_protocol(file: BinaryIO) -> None:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "PROTO":
            _refuse_newer(argument)


def _refuse_newer(protocol: Any) -> None:
    if protocol > _PROTOCOL:
        raise UserError(
            f"found pickle protocol {protocol}, expected {_PROTOCOL}, the default of torch.save; write it again"
        )


def _storages(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Key and claimed bytes of every storage that a pickle refers to, without executing it.

    Simulates the stack of the pickle machine, on which only constants and tuples of them matter here.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "PROTO":
            _refuse_newer(argument)
        elif opcode.name in _PUT:
            memo[argument] = stack[-1]
        elif opcode.name in _GET:
            stack.append(memo[argument])
        elif opcode.name == "TUPLE":
            stack.append(tuple(_down_to_mark(stack)))
        elif opcode.name == "BINPERSID":
            yield _claim(stack.pop())
            stack.append(None)
        else:
            if pickletools.markobject in opcode.stack_before:
                _down_to_mark(stack)
                taken = opcode.stack_before.index(pickletools.markobject)
            else:
                taken = len(opcode.stack_before)
            del stack[len(stack) - taken :]
            stack += [_MARK if what is pickletools.markobject else argument for what in opcode.stack_after]


def _down_to_mark(stack: list[Any]) -> list[Any]:
    """Pop the last mark and everything above it; return what was above it."""
    above: list[Any] = []
    while (top := stack.pop()) is not _MARK:
        above.append(top)
    return above[::-1]


def _claim(reference: Any) -> tuple[str, int]:
    """Key and size in bytes of `("storage", "torch FloatStorage", key, device, number of elements, …)`."""
    if not isinstance(reference, tuple) or len(reference) < 5:
        raise pickle.UnpicklingError("an unknown reference")
    _, kind, key, _, count = reference[:5]
    if type(key) is not str or type(count) is not int or count < 0:
        raise ValueError("an unknown storage")
    return key, count * _WIDTHS[str(kind).rpartition(" ")[2]]

"""A tensor file with wrong claims is refused before memory of the claimed size is allocated."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from speakerid.base.errors import UserError
from speakerid.base.plain_data import load_plain


def saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def repacked(change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file of 1,000 and 10 numbers with changed records and correct checksums."""
    buffer = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(1_000), "b": torch.zeros(10)})))
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for record in source.infolist():
            archive.writestr(record.filename, change(record.filename, source.read(record)))
    return buffer.getvalue()


def long(number: int) -> bytes:
    """Encode an integer as in a pickle."""
    return b"\x8a\x08" + struct.pack("<q", number)


def claiming(count: int, size: int | None = None) -> Callable[[str, bytes], bytes]:
    """Change the number of elements that the storage of 1,000 numbers claims, and the size of its tensor."""

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return content
        thousand, wide = b"M\xe8\x03", long(count)
        before, _, behind = content.partition(thousand)
        return (
            before
            + wide
            + (behind if size is None else behind.replace(thousand, b"\x8a\x08" + struct.pack("<q", size)))
        )

    return change


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=values)
    return buffer.getvalue()


def old(content: object) -> bytes:
    return saved(content, _use_new_zipfile_serialization=False)


def doubled(content: bytes) -> bytes:
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", archive.read("archive/data.pkl"))
    return buffer.getvalue()


FILES = {
    "a storage larger than its record": (repacked(claiming(10**12)), "claims 4,000,000,000,000 bytes"),
    "a storage a little larger": (repacked(claiming(1_001)), "claims 4,004 bytes, more than the file holds"),
    "a tensor larger than its storage": (repacked(claiming(1_000, 10**12)), "truncated or not a tensor file"),
    "a negative count": (repacked(claiming(-5)), "truncated or not a tensor file"),
    "one number shown often": (saved(torch.zeros(1).expand(10**12)), "claims more elements than the file holds"),
    "nested, one number shown often": (saved([{"a": (torch.zeros(1).expand(10**12),)}]), "claims more elements"),
    "an old file that claims more": (
        old(torch.ones(1_000)).replace(b"M\xe8\x03", b"\x8a\x06" + (10**12).to_bytes(6, "little"), 1),
        "claim 4,000,000,000,000 bytes, more than the file holds",
    ),
    "protocol 4": (saved(torch.ones(3), pickle_protocol=4), "found pickle protocol 4, expected 2"),
    "protocol 5": (saved(torch.ones(3), pickle_protocol=5), "found pickle protocol 5, expected 2"),
    "an old file of protocol 4": (
        saved(torch.ones(3), pickle_protocol=4, _use_new_zipfile_serialization=False), "found pickle protocol 4"
    ),
    "a pickled array": (pickle.dumps(np.ones(3)), "found pickle protocol"),
    "an array": (npy(np.ones((3, 4), np.float32)), r"found a NumPy array \(\.npy\)"),
    "an array of objects": (npy(np.array([{}], object)), r"found a NumPy array \(\.npy\)"),
    "compressed": (repacked(lambda _, content: content, zipfile.ZIP_DEFLATED), "found a repacked archive"),
    "two records of a name": (doubled(saved(torch.ones(3))), "found a repacked archive"),
    "another archive": (npz(np.ones(3)), "not a tensor file"),
    "nothing": (b"", "truncated or not a tensor file"),
    "text": (b"hello\n", "truncated or not a tensor file"),
    "a web page": (b"<!doctype html><title>Not found</title>", "truncated or not a tensor file"),
    "a memo of four thousand million entries": (b"\x80\x02]r\xff\xff\xff\xff.", "truncated or not a tensor file"),
    "text of an exabyte": (b"\x80\x02B\xff\xff\xff\xffabc.", "truncated or not a tensor file"),
    "a pickle without an end": (b"\x80\x02((((((", "truncated or not a tensor file"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), FILES.values(), ids=FILES)
def test_false_claims_are_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        load_plain(tmp_path / "x.pt")


VIEWS = {
    "whole": torch.arange(12.0).reshape(3, 4),
    "a view": torch.arange(12.0).reshape(3, 4)[1:, ::2],
    "turned": torch.arange(12.0).reshape(3, 4).T,
    "empty": torch.zeros(0, 4),
    "a number": torch.tensor(3),
    "half": torch.ones(3, dtype=torch.float16),
    "bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "whole numbers": torch.arange(5),
    "truth": torch.tensor([True, False]),
    "complex": torch.ones(2, dtype=torch.complex64),
}


@pytest.mark.parametrize("tensor", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_writes_is_read(tensor: Tensor, zipped: bool, tmp_path: Path) -> None:
    content = {"a": tensor, "b": [tensor, {"c": tensor[..., None]}], "n": [1, -2, 2**40, 0.5, "é", None, True]}
    (tmp_path / "x.pt").write_bytes(saved(content, _use_new_zipfile_serialization=zipped))
    loaded = load_plain(tmp_path / "x.pt")
    assert isinstance(loaded, dict)
    assert torch.equal(loaded["a"], tensor)
    assert torch.equal(loaded["b"][1]["c"], tensor[..., None])
    assert loaded["n"] == content["n"]

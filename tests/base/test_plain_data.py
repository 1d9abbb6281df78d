"""Files of tensors and plain data, damaged at every position."""

from pathlib import Path

import pytest
import torch

from speakerid.base.errors import UserError
from speakerid.base.plain_data import load_plain, save_plain


@pytest.mark.parametrize("change", [0x10, 0xFF])
def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path: Path, change: int) -> None:
    """Changes every byte of a small file in turn; 0x10 marks a record of the archive as a folder."""
    path, tensor = tmp_path / "file", torch.randn(3)
    save_plain(path, {"tensor": tensor, "numbers": [1, 2.5]})
    content = bytearray(path.read_bytes())
    refused = 0
    for position in range(len(content)):
        content[position] ^= change
        path.write_bytes(content)
        content[position] ^= change
        try:
            loaded = load_plain(path)
        except UserError:
            refused += 1
        else:
            assert isinstance(loaded, dict)
            assert loaded["numbers"] == [1, 2.5]
            assert torch.equal(loaded["tensor"], tensor), position
    assert refused > len(content) / 4


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_plain(path, torch.randn(3))
    content = path.read_bytes()
    for size in range(4, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"^truncated or not a tensor file; write it again$"):
            load_plain(path)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^found a folder, expected a regular file$"):
        load_plain(tmp_path)

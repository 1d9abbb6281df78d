import pytest
import torch

from speakerid.nn.layers import Subsampling, frame_mask

WIDTH = 4


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9])
def test_every_second_frame_with_its_neighbors(length: int) -> None:
    layer = Subsampling(WIDTH)
    assert layer.convolution.bias is not None
    x = torch.randn(length, WIDTH)
    outputs = []
    for middle in range(0, length, 2):
        output = layer.convolution.bias
        for tap, frame in enumerate((middle - 1, middle, middle + 1)):
            if 0 <= frame < length:
                output = output + layer.convolution.weight[:, :, tap] @ x[frame]
        outputs.append(output)
    out, mask = layer(x[None])
    torch.testing.assert_close(out[0], torch.stack(outputs))
    assert mask is None


def test_padding_is_invisible_and_the_mask_follows() -> None:
    layer = Subsampling(WIDTH)
    lengths = [9, 8, 5, 2, 1]
    mask = frame_mask(torch.tensor(lengths), 10)
    x = torch.randn(5, 10, WIDTH).masked_fill(~mask[..., None], 1e4)
    out, fewer = layer(x, mask)
    assert fewer is not None
    assert fewer.sum(1).tolist() == [5, 4, 3, 1, 1]
    for row, length in enumerate(lengths):
        torch.testing.assert_close(out[row][fewer[row]], layer(x[row : row + 1, :length])[0][0])

import torch

from speakerid.nn.layers import frame_mask, zero_padding


def test_a_frame_is_real_below_the_length() -> None:
    assert frame_mask(torch.tensor([0, 1, 3]), 3).tolist() == [
        [False, False, False],
        [True, False, False],
        [True, True, True],
    ]


def test_padding_becomes_zero_and_the_rest_stays() -> None:
    x = torch.tensor([[[1.0, 2.0], [torch.inf, torch.nan]], [[3.0, 4.0], [5.0, 6.0]]])
    assert zero_padding(x, frame_mask(torch.tensor([1, 2]), 2)).tolist() == [
        [[1.0, 2.0], [0.0, 0.0]],
        [[3.0, 4.0], [5.0, 6.0]],
    ]


def test_no_mask_means_that_every_frame_is_real() -> None:
    x = torch.randn(2, 3, 4)
    assert torch.equal(zero_padding(x, None), x)

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speakerid.layers.masks import frame_mask
from speakerid.layers.pooling import MeanPooling


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), spare=st.integers(0, 2))
def test_mean_of_the_real_frames(lengths: list[int], spare: int) -> None:
    torch.manual_seed(0)
    frames = max(lengths) + spare
    mask = frame_mask(torch.tensor(lengths), frames)
    x = torch.randn(len(lengths), frames, 5).masked_fill(~mask[..., None], 1e30)
    expected = [utterance[:length].mean(0) for utterance, length in zip(x, lengths, strict=True)]
    torch.testing.assert_close(MeanPooling()(x, mask), torch.stack(expected))


def test_no_mask_means_that_every_frame_is_real() -> None:
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(MeanPooling()(x), (x[:, 0] + x[:, 1] + x[:, 2] + x[:, 3]) / 4)

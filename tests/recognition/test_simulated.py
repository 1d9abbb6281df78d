import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from speakerid.config import FeatureConfig
from speakerid.corpus.store import FrameStore
from speakerid.recognition.simulated import MOST_PIECES, pieces, through_channels

FEATURES = FeatureConfig()


def store_of(lengths: list[int], seed: int = 0) -> FrameStore:
    frames = np.random.default_rng(seed).normal(-8, 2, (sum(lengths), FEATURES.n_mels)).astype(np.float16)
    counts = np.array(lengths, np.int64)
    return FrameStore(frames, np.cumsum(counts) - counts, counts)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 15), st.data())
def test_pieces_are_consecutive_stretches_of_the_asked_recordings(
    lengths: list[int], frames: int, data: st.DataObject
) -> None:
    store = store_of(lengths)
    indices = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    found, rows = pieces(store, indices, frames)
    expected = [
        (row, store.utterance(index)[start : start + frames])
        for row, index in enumerate(indices)
        for start in range(0, lengths[index] - frames + 1, frames)
    ]
    assert rows.tolist() == [row for row, _ in expected]
    assert all(torch.equal(found.utterance(n), piece) for n, (_, piece) in enumerate(expected))


def test_of_many_pieces_evenly_spaced_ones_are_kept() -> None:
    store = store_of([3 * MOST_PIECES, 3 * MOST_PIECES])
    found, rows = pieces(store, [0, 1], 1)
    assert len(found) == MOST_PIECES
    assert np.bincount(rows).tolist() == [MOST_PIECES // 2, MOST_PIECES // 2]


def test_channels_change_recordings_and_nothing_else() -> None:
    store = store_of([30, 8, 30, 50])
    torch.manual_seed(5)
    before = torch.get_rng_state()
    once, again, others = (through_channels(store, FEATURES, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert once.lengths.tolist() == again.lengths.tolist() == [30, 8, 30, 50]
    assert np.array_equal(once.frames, again.frames)
    assert np.isfinite(once.frames).all()
    assert not np.array_equal(once.frames, others.frames)
    assert not np.array_equal(once.frames, store.frames)


def test_another_voice_has_its_formants_elsewhere() -> None:
    """A single peak in the middle of the bands moves, each time by another factor."""
    frames = np.full((2000, FEATURES.n_mels), -15, np.float16)
    frames[:, 20] = -2
    lengths = np.full(20, 100)
    store = FrameStore(frames, np.cumsum(lengths) - lengths, lengths)
    plain, shifted = (through_channels(store, FEATURES, 0, other_voices=other) for other in (False, True))
    peaks = [[int(one.utterance(n).mean(0).argmax()) for n in range(20)] for one in (plain, shifted)]
    assert np.mean(np.array(peaks[0]) == 20) > 0.6  # noise may hide it
    assert len(set(peaks[1])) > 3


def test_no_recordings_stay_none() -> None:
    store = store_of([5])
    assert len(through_channels(pieces(store, [0], 6)[0], FEATURES, 0)) == 0

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from corpora import write_corpus
from speakerid.corpus import hw4
from speakerid.corpus.batching import padded_length
from speakerid.corpus.packing import packed_store
from speakerid.corpus.store import FrameStore
from speakerid.training.batches import (
    AHEAD,
    CROP_LENGTHS,
    Crops,
    PaddedBatch,
    Prefetched,
    TrainingBatches,
    utterances_in_views,
    whole_utterances,
)


def marked_store(lengths: Sequence[int]) -> FrameStore:
    """Store whose frames hold their own position: (utterance, frame), counted from 1 to differ from padding."""
    frames = [[u + 1, t + 1] for u, length in enumerate(lengths) for t in range(length)]
    counts = np.array(lengths, dtype=np.int64)
    return FrameStore(np.array(frames, dtype=np.float32), np.cumsum(counts) - counts, counts)


def marks(row: Tensor) -> tuple[int, list[int]]:
    """The utterance and the frames that a (T, M) piece of a marked store was taken from."""
    utterances = set((row[:, 0] - 1).int().tolist())
    assert len(utterances) == 1
    return utterances.pop(), (row[:, 1] - 1).int().tolist()


corpora = st.lists(st.integers(1, 90), min_size=1, max_size=12).flatmap(
    lambda lengths: st.tuples(
        st.just(lengths),
        st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True),
    )
)


@settings(deadline=None, max_examples=60)
@given(corpora, st.integers(1, 9), st.integers(1, 15), st.integers(0, 3))
def test_rows_are_contiguous_pieces_of_the_given_utterances(
    corpus: tuple[list[int], list[int]], batch_size: int, crop: int, seed: int
) -> None:
    lengths, indices = corpus
    labels = [100 + 7 * utterance for utterance in range(len(lengths))]
    batches = TrainingBatches(marked_store(lengths), indices, labels, batch_size, crop, seed)
    drawn: list[int] = []
    for step in range(3 * len(indices) // batch_size + 1):
        features, classes = batches[step]
        assert features.shape == (batch_size, crop, 2)
        assert features.dtype == torch.float32
        assert classes.dtype == torch.int64
        for row, label in zip(features, classes.tolist(), strict=True):
            utterance, frames = marks(row)
            assert label == labels[utterance]
            start, length = frames[0], lengths[utterance]
            if length >= crop:
                assert frames == list(range(start, start + crop))
            else:
                assert frames == [index % length for index in range(crop)]
            drawn.append(utterance)
    for first in range(0, len(drawn) - len(indices) + 1, len(indices)):
        assert sorted(drawn[first : first + len(indices)]) == sorted(indices)


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.integers(0, 40), min_size=1, max_size=8), seed=st.integers(0, 2**40))
def test_a_batch_depends_only_on_its_step(steps: list[int], seed: int) -> None:
    def fresh() -> TrainingBatches:
        return TrainingBatches(marked_store([9, 4, 12, 7, 5, 30]), [5, 0, 3, 1], range(6), 3, 5, seed)

    used = fresh()
    for step in steps:
        features, labels = used[step]
        expected_features, expected_labels = fresh()[step]
        assert torch.equal(features, expected_features)
        assert torch.equal(labels, expected_labels)


def test_neither_reads_nor_moves_the_global_random_state() -> None:
    def batch() -> Tensor:
        return TrainingBatches(marked_store([20] * 8), range(8), range(8), 4, 5, seed=1)[3][0]

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = batch()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(batch(), first)


def test_epochs_and_seeds_differ() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        features, _ = TrainingBatches(marked_store([3] * 30), range(30), range(30), 30, 3, seed)[epoch]
        return tuple(marks(row)[0] for row in features)

    assert len({order(seed, epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_a_batch_larger_than_the_corpus_spans_epochs() -> None:
    features, labels = TrainingBatches(marked_store([3, 4, 5]), [2, 0], [7, 8, 9], 6, 2, seed=0)[1]
    assert features.shape == (6, 2, 2)
    for first in range(0, 6, 2):
        assert sorted(labels[first : first + 2].tolist()) == [7, 9]


def test_crops_start_everywhere_they_fit_and_nowhere_else() -> None:
    batches = TrainingBatches(marked_store([8, 5]), [0, 1], [0, 1], 2, 5, seed=0)
    starts: dict[int, set[int]] = {0: set(), 1: set()}
    for step in range(200):
        for row in batches[step][0]:
            utterance, frames = marks(row)
            starts[utterance].add(frames[0])
    assert starts == {0: {0, 1, 2, 3}, 1: {0}}


def test_crops_of_one_batch_are_drawn_one_by_one() -> None:
    features, _ = TrainingBatches(marked_store([1_000] * 8), range(8), range(8), 8, 5, seed=0)[0]
    assert len({marks(row)[1][0] for row in features}) > 4


def test_packed_corpus_gives_batches(tmp_path: Path) -> None:
    features = list(write_corpus(tmp_path / "corpus").values())
    corpus, _ = hw4.read(tmp_path / "corpus")
    store = packed_store(corpus, "labelled")
    batch, labels = TrainingBatches(store, range(len(store)), corpus.labelled.speakers.tolist(), 5, 4, seed=0)[0]
    pieces = [torch.cat([u[i : i + 4].flatten() for i in range(len(u) - 3)]) for u in features]
    for row, label in zip(batch, labels.tolist(), strict=True):
        (index,) = [i for i, piece in enumerate(pieces) if (piece.view(-1, 16) == row.flatten()).all(1).any()]
        assert corpus.labelled.speakers.tolist()[index] == label
    batch.zero_()
    for index, expected in enumerate(features):
        assert torch.equal(store.utterance(index), expected)


def check_padded(batch: PaddedBatch, lengths: Sequence[int]) -> None:
    """Check that mask and zeros match the (B,) lengths."""
    longest = max(lengths) if min(lengths) == max(lengths) else padded_length(max(lengths))
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    assert batch.features.shape == (len(lengths), longest, 2)
    assert batch.features.dtype == torch.float32
    assert torch.equal(batch.features[..., 0] != 0, real)
    assert not batch.features[~real].any()
    if min(lengths) == max(lengths):
        assert batch.mask is None
    else:
        assert batch.mask is not None
        assert batch.mask.dtype == torch.bool
        assert torch.equal(batch.mask, real)


@settings(deadline=None, max_examples=100)
@given(corpora, st.integers(1, 400), st.none() | st.integers(1, 80))
def test_whole_utterances_come_once_within_the_bound(
    corpus: tuple[list[int], list[int]], bound: int, crop: int | None
) -> None:
    lengths, indices = corpus
    expected = [min(lengths[index], crop or 99) for index in indices]
    yielded: list[int] = []
    batches = list(whole_utterances(marked_store(lengths), indices, bound, crop))
    for batch in batches:
        inside = [expected[index] for index in batch.indices]
        check_padded(batch, inside)
        assert batch.features[..., 0].numel() <= bound or len(inside) == 1
        for index, row, length in zip(batch.indices, batch.features, inside, strict=True):
            utterance, frames = marks(row[:length])
            assert utterance == indices[index]
            before, after = frames[0], lengths[utterance] - 1 - frames[-1]
            assert frames == list(range(before, before + length))
            assert abs(before - after) <= 1
        yielded += batch.indices.tolist()
    assert sorted(yielded) == list(range(len(indices)))
    # Sorted by length, ties in the original order, and no batch smaller than necessary.
    assert yielded == sorted(range(len(indices)), key=expected.__getitem__)
    for batch, following in pairwise(batches):
        assert (len(batch.indices) + 1) * padded_length(expected[following.indices[0]]) > bound


def test_padded_lengths_are_few_and_little_longer() -> None:
    padded = [padded_length(frames) for frames in range(1, 2049)]
    assert all(frames <= length <= frames * 33 / 32 for frames, length in enumerate(padded, 1))
    assert len(set(padded)) < 250


def written_out_views(frames: list[int], crops: Crops | None) -> list[list[int]]:
    """All frames of an utterance, and evenly spaced crops, rounded down."""
    room = 0 if crops is None else len(frames) - crops.frames
    if crops is None or room <= 0:
        return [frames]
    starts = [room // 2] if crops.count == 1 else [room * k // (crops.count - 1) for k in range(crops.count)]
    return [frames, *(frames[start : start + crops.frames] for start in starts)]


@settings(deadline=None, max_examples=100)
@given(
    corpora,
    st.integers(1, 60),
    st.none() | st.integers(1, 15),
    st.none() | st.builds(Crops, st.integers(1, 4), st.integers(1, 12)),
    st.integers(1, 3),
)
def test_every_view_comes_once_within_the_bound(
    corpus: tuple[list[int], list[int]], bound: int, crop: int | None, crops: Crops | None, processes: int
) -> None:
    lengths, indices = corpus
    store = marked_store(lengths)
    found: dict[int, list[list[int]]] = {}
    for process in range(processes):
        for group, batches in utterances_in_views(store, indices, bound, crop, crops, processes, process):
            views: dict[int, list[list[int]]] = {index: [] for index in group.tolist()}
            for batch in batches:
                real = [
                    len(row) if batch.mask is None else int(batch.mask[k].sum()) for k, row in enumerate(batch.features)
                ]
                check_padded(batch, real)
                assert len(real) * max(real) <= bound or len(real) == 1
                for index, row, length in zip(batch.indices, batch.features, real, strict=True):
                    utterance, frames = marks(row[:length])
                    assert utterance == indices[group[index]]
                    views[int(group[index])].append(frames)
            assert not found.keys() & views.keys()
            found |= views
    for row, index in enumerate(indices):
        (whole,) = (marks(batch.features[0])[1] for batch in whole_utterances(store, [index], bound, crop))
        assert sorted(found[row]) == sorted(written_out_views(whole, crops))
    assert found.keys() == set(range(len(indices)))


@pytest.mark.parametrize(
    ("crops", "starts"),
    [
        (Crops(1, 4), [3]),
        (Crops(2, 4), [0, 6]),
        (Crops(3, 4), [0, 3, 6]),
        (Crops(5, 4), [0, 1, 3, 4, 6]),
        (Crops(1, 9), [0]),
        (Crops(3, 9), [0, 0, 1]),
        (Crops(3, 10), []),
        (Crops(3, 11), []),
    ],
)
def test_crops_are_spread_evenly_over_utterances_that_are_longer(crops: Crops, starts: list[int]) -> None:
    ((_, batches),) = utterances_in_views(marked_store([10]), [0], 1, crops=crops)
    views = [marks(batch.features[0])[1] for batch in batches]
    assert views == [[*range(start, start + crops.frames)] for start in starts] + [[*range(10)]]


def test_an_utterance_beyond_the_bound_is_a_batch_of_its_own() -> None:
    shapes = [tuple(b.features.shape[:2]) for b in whole_utterances(marked_store([50, 4, 60, 5]), range(4), 20)]
    assert shapes == [(2, 5), (1, 50), (1, 60)]


def test_no_utterances_give_no_batches() -> None:
    assert list(whole_utterances(marked_store([3]), [], 20)) == []


@pytest.mark.parametrize(("crop", "frames"), [(2, range(3, 5)), (4, range(2, 6)), (8, range(8)), (9, range(8))])
def test_crop_is_the_middle(crop: int, frames: range) -> None:
    (batch,) = whole_utterances(marked_store([5, 8]), [1], 100, crop)
    assert marks(batch.features[0]) == (1, list(frames))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_frames_that_live_on_the_device_give_the_same_batches(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code path of a GPU, on the CPU."""
    store = marked_store([9, 4, 12, 7, 5, 30])
    store = FrameStore(store.frames.astype(dtype), store.offsets, store.lengths)
    here = TrainingBatches(store, [5, 0, 3, 1], range(6), 3, 5, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingBatches, "_fits", lambda self: True)
        patch.setattr("speakerid.training.batches.UPLOAD", 7)
        there = TrainingBatches(store, [5, 0, 3, 1], range(6), 3, 5, seed=1)
    assert there.resident
    assert not here.resident
    store.frames[:] = 0  # a copy elsewhere does not see the change
    for step in (0, 7, 1, 40):
        assert there[step][0].dtype == torch.float32
        assert there[step][0].any()
        assert not here[step][0].any()
        assert torch.equal(here[step][1], there[step][1])
    store.frames[:] = marked_store([9, 4, 12, 7, 5, 30]).frames
    for step in (0, 7, 1, 40):
        assert torch.equal(here[step][0], there[step][0])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=12))
def test_batches_gathered_ahead_are_the_same_in_any_order(steps: list[int]) -> None:
    plain = TrainingBatches(marked_store([9, 4, 12, 7, 5, 30]), [5, 0, 3, 1], range(6), 3, 5, seed=1)
    ahead = Prefetched(plain)
    for step in steps:
        for found, expected in zip(ahead[step], plain[step], strict=True):
            assert torch.equal(found, expected)


def test_batches_are_gathered_ahead_once_each() -> None:
    asked: list[int] = []

    class Counted:
        def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
            asked.append(step)
            return torch.zeros(1), torch.zeros(1)

    ahead = Prefetched(Counted())
    for step in range(20):
        ahead[step]
    assert sorted(asked)[:20] == list(range(20))
    assert len(asked) == len(set(asked)) <= 20 + AHEAD


def test_a_batch_that_cannot_be_gathered_fails_at_its_own_step() -> None:
    class Failing:
        def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
            if step == 2:
                raise OSError("the disk is gone")
            return torch.tensor(step), torch.zeros(1)

    ahead = Prefetched(Failing())
    assert [ahead[step][0].item() for step in (0, 1)] == [0, 1]
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            ahead[2]
    assert ahead[3][0] == 3


def test_frames_on_another_device_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingBatches, "_fits", lambda self: True)
    batches = TrainingBatches(marked_store([9, 4, 12]), [2, 0], range(3), 3, 5, seed=1, device="meta")
    assert batches.resident
    features, labels = batches[0]
    assert (features.device.type, features.shape, features.dtype) == ("meta", (3, 5, 2), torch.float32)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize(("share", "resident"), [(2.1, True), (1.9, False)])
def test_frames_stay_on_a_gpu_where_they_take_half_of_its_free_memory_at_most(
    share: float, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = marked_store([9, 4, 12])
    free = int(share * store.frames.nbytes)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
    monkeypatch.setattr(TrainingBatches, "_upload", lambda self: torch.zeros(1))
    assert TrainingBatches(store, [2, 0], range(3), 3, 5, seed=1, device="cuda").resident == resident
    assert not TrainingBatches(store, [2, 0], range(3), 3, 5, seed=1).resident


def mapped_megabytes(file: Path) -> int:
    """Memory that the mapped pages of a file take; those of libraries come and go with other tests."""
    found, mine = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-", line):
            mine = line.endswith(str(file))
        elif mine and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found // 1024


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_what_was_read_of_the_store(tmp_path: Path) -> None:
    utterances, frames, file = 8_000, 600, tmp_path / "frames"
    np.zeros((utterances * frames, 40), np.float16).tofile(file)
    lengths = np.full(utterances, frames)
    offsets = np.cumsum(lengths) - lengths
    store = FrameStore(np.memmap(file, np.float16, "r", shape=(utterances * frames, 40)), offsets, lengths)
    batches = TrainingBatches(store, range(utterances), lengths, 100, 600, seed=0)
    store.frames.sum()
    assert mapped_megabytes(file) > 350
    store.release()
    largest = 230  # with what the system maps around each utterance; looked at rarely, since that is slow
    for step in range(80):
        batches[step]
        assert step % 5 < 4 or mapped_megabytes(file) < largest
    for number, _ in enumerate(whole_utterances(store, range(utterances), 6_000)):
        assert number % 50 or mapped_megabytes(file) < largest
    assert mapped_megabytes(file) < 20


@settings(deadline=None, max_examples=20)
@given(shortest=st.integers(1, 20), more=st.integers(0, 40), seed=st.integers(0, 3))
def test_crops_have_one_length_per_batch(shortest: int, more: int, seed: int) -> None:
    def batches() -> TrainingBatches:
        return TrainingBatches(
            marked_store([9, 30, 70]), [0, 1, 2], [0, 1, 2], 4, shortest, seed, longest_crop_frames=shortest + more
        )

    first, again = batches(), batches()
    lengths = [first[step][0].shape[1] for step in range(100)]
    assert min(lengths) >= shortest
    assert max(lengths) <= shortest + more
    assert len(set(lengths)) == min(CROP_LENGTHS, more + 1)
    for step in (7, 3):
        assert torch.equal(again[step][0], first[step][0])


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_a_batch_with_company_is_the_same_on_any_number_of_processes(
    processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, labels = [9, 4, 12, 7, 5, 30, 8, 3], [0, 0, 1, 1, 2, 3, 3, 4]

    def batches() -> TrainingBatches:
        company = [label > 1 for label in labels]
        return TrainingBatches(marked_store(lengths), range(8), labels, 5, 6, 1, company=company)

    for step in (0, 3, 11):
        whole = batches()[step]
        parts = []
        for number in range(processes):
            first, last = 5 * number // processes, 5 * (number + 1) // processes
            monkeypatch.setattr(
                "speakerid.training.batches.share", lambda size, first=first, last=last: slice(first, last)
            )
            parts.append(batches()[step])
        monkeypatch.undo()
        for found, expected in zip(zip(*parts, strict=True), whole, strict=True):
            assert torch.equal(torch.cat(found), expected)
        for row, label in zip(*whole, strict=True):
            assert labels[marks(row)[0]] == label
        assert (whole[1] > 1).sum() == 2

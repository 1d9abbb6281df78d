"""Profiles: voice prints of the speakers, both those the model was trained on and those enrolled later.

Shapes: N recordings, D width of a voice print, S speakers, R ranked speakers, K centers and C clips of a speaker, V
distinct numbers of clips.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speakerid.base.errors import UserError
from speakerid.base.printing import nfc
from speakerid.recognition.centers import centers_of, means_of
from speakerid.recognition.plda import Plda
from speakerid.recognition.speaker_names import check_name

MOST_CLIPS = 25
"""Largest number of clips that counts; further ones are mostly of the same sessions, so the mean is no more certain."""
RANKED = 50
"""Number of speakers, the nearest ones, that compete for a recording; the others would add little and take time."""
MANY = 5000
"""Number of speakers from which on they are first compared in half precision, if PyTorch is in use."""


@dataclass(frozen=True)
class Profiles:
    """Voice prints by name.

    Attributes:
        names: S distinct names.
        plda: distribution of voice prints.
        centers: (S, K, D) centers; a speaker with fewer than K clips has some of them twice.
        clips: number of recordings of each speaker.
        trained: whether the model was trained on each speaker.
        center_clips: (S, K) number of clips of each center; 0 for a repeated center.
        recordings: for each speaker, digests of the enrolled recordings, see `Voice.digest`, without those that the
            model was trained on.
    """

    names: tuple[str, ...]
    plda: Plda
    centers: NDArray[np.float32]
    clips: tuple[int, ...]
    trained: tuple[bool, ...]
    center_clips: NDArray[np.int64]
    recordings: tuple[frozenset[int], ...]

    @property
    def centres(self) -> NDArray[np.float32]:
        """`centers` by its former spelling."""
        return self.centers

    def scores(self, prints: NDArray[np.floating], of: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """(N, S) scores of (N, D) voice prints, see `Plda`; each is that of the speaker's best center.

        Args:
            prints: (N, D).
            of: indices of the S speakers; by default all.
        """
        scoring, x = self.scoring, prints.astype(np.float32)
        some = slice(None) if of is None else of
        slopes, offsets = scoring.slopes[some], scoring.offsets[some]
        lines = (x @ slopes.reshape(-1, x.shape[1]).T).reshape(len(x), *offsets.shape) + offsets
        return lines.max(-1) + (x**2 @ scoring.curvatures.T)[:, scoring.curvature[some]]

    def ranked(self, prints: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(N, R) indices and scores of the nearest speakers of (N, D) voice prints; R = min(S, RANKED)."""
        if len(self.names) < MANY or sys.modules.get("torch") is None:  # NumPy is slow in half precision
            return rank(self.scores(prints))
        indices, scores = zip(*map(self._ranked_among_many, prints), strict=True)
        return np.concatenate(indices), np.concatenate(scores)

    def _ranked_among_many(self, voice_print: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`ranked` for one (D,) voice print: choose twice as many as needed in half precision, then score these."""
        import torch

        scoring, x = self.scoring, torch.from_numpy(voice_print)
        lines = torch.mv(self._half, x.half()).float().view(len(self.names), -1) + torch.from_numpy(scoring.offsets)
        curves = torch.from_numpy(scoring.curvatures @ voice_print**2)
        rough = lines.amax(1) + curves[torch.from_numpy(scoring.curvature)]
        near = rough.topk(2 * RANKED).indices.numpy()
        indices, scores = rank(self.scores(voice_print[None], near))
        return near[indices], scores

    @cached_property
    def scoring(self) -> Scoring:
        """Coefficients of the scores."""
        numbers, curvature = np.unique(np.minimum(self.clips, MOST_CLIPS), return_inverse=True)
        slopes, offsets = self.plda.lines(self.centers, numbers[curvature])
        curvatures = self.plda.curvatures(numbers)
        return Scoring(slopes.astype(np.float32), offsets.astype(np.float32), curvatures.astype(np.float32), curvature)

    @cached_property
    def _half(self) -> Any:
        """(S · K, D) slopes in half precision: with many speakers, reading them from memory takes most of the time."""
        import torch

        return torch.from_numpy(self.scoring.slopes).half().flatten(0, 1)

    def with_speaker(
        self, name: str, prints: NDArray[np.floating], recordings: Iterable[int] = (), trained: bool = False
    ) -> Profiles:
        """Copy with one more speaker, after the others.

        Args:
            name: a new name.
            prints: (C, D) voice prints of the speaker's recordings.
            recordings: digests of the recordings, if known.
            trained: see the attribute.

        Raises:
            UserError: the name is taken or invalid.
        """
        self.check_new(name)
        name = self.stored_name(name)
        prints = np.unique(prints, axis=0)  # a repeated clip counts once
        centers, sizes = centers_of(prints)
        return Profiles(
            (*self.names, name),
            self.plda,
            np.concatenate([self.centers, centers[None]]),
            (*self.clips, len(prints)),
            (*self.trained, trained),
            np.concatenate([self.center_clips, sizes[None]]),
            (*self.recordings, frozenset(recordings)),
        )

    def check_new(self, name: str) -> None:
        """Check a name for a new speaker.

        Raises:
            UserError: the name is taken or invalid.
        """
        check_name(name)
        if self.stored_name(name) in self.names:
            raise UserError(
                f"{name!r}: is enrolled already; `speakerid enroll --add` (`add=True`) adds recordings to that "
                "speaker, another speaker needs another name"
            )

    def with_more(self, name: str, prints: NDArray[np.floating], recordings: Iterable[int] = ()) -> Profiles:
        """Copy with more recordings of a speaker, trained or enrolled.

        The centers are those of all clips. If the speaker has more than K, clips that share a center stay together.

        Args:
            name: name of the speaker.
            prints: (C, D) voice prints of further recordings.
            recordings: digests of the recordings, if known.

        Raises:
            UserError: no speaker has this name.
        """
        base = self.centers[self.index(name)], self.center_clips[self.index(name)]
        return self.remade(name, base, np.unique(prints, axis=0), recordings)

    def remade(
        self,
        name: str,
        base: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
        prints: NDArray[np.floating],
        recordings: Iterable[int] = (),
    ) -> Profiles:
        """Copy with other centers of a speaker, by name: those of (C, D) distinct voice prints and of a base.

        The base, if any, is (K, D) centers and (K,) their numbers of clips. `recordings` are digests of further ones.
        """
        index = self.index(name)
        if base is not None and not len(prints):
            centers, sizes = base
        else:
            former, counts = means_of(*base) if base else (np.zeros((0, prints.shape[1])), np.zeros(0, np.int64))
            points = np.concatenate([former, prints.astype(np.float64)])
            centers, sizes = centers_of(points, np.concatenate([counts, np.ones(len(prints), np.int64)]))
        return replace(
            self,
            centers=_replaced(self.centers, index, centers),
            clips=(*self.clips[:index], int(sizes.sum()), *self.clips[index + 1 :]),
            center_clips=_replaced(self.center_clips, index, sizes),
            recordings=(
                *self.recordings[:index],
                self.recordings[index] | frozenset(recordings),
                *self.recordings[index + 1 :],
            ),
        )

    def without(self, name: str) -> Profiles:
        """Copy without a speaker.

        Raises:
            UserError: no speaker has this name.
        """
        gone = self.index(name)
        keep = [index for index in range(len(self.names)) if index != gone]
        return Profiles(
            tuple(self.names[index] for index in keep),
            self.plda,
            self.centers[keep],
            tuple(self.clips[index] for index in keep),
            tuple(self.trained[index] for index in keep),
            self.center_clips[keep],
            tuple(self.recordings[index] for index in keep),
        )

    def renamed(self, old: str, new: str) -> Profiles:
        """Copy with another name for a speaker.

        Raises:
            UserError: no speaker has the old name, or the new one is taken or invalid.
        """
        index = self.index(old)
        check_name(new)
        stored, new = self.stored_name(new), nfc(new)
        if stored in self.names and (stored == new or stored != self.names[index]):
            raise UserError(f"{new!r}: is enrolled already; choose another name")
        return replace(self, names=(*self.names[:index], new, *self.names[index + 1 :]))

    def index(self, name: str) -> int:
        """Index of a speaker, by name.

        Raises:
            UserError: no speaker has this name.
        """
        if (stored := self.stored_name(name)) not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "the command `speakers` lists those there are"
            raise UserError(f"{name!r}: no speaker has this name; {hint}")
        return self.names.index(stored)

    def stored_name(self, name: str) -> str:
        """Name in the Unicode form in which it is stored, or in the composed one (NFC) if it is new."""
        if name in self.names or not isinstance(name, str):
            return name
        composed = nfc(name)
        return next((known for known in self.names if nfc(known) == composed), composed)


@dataclass(frozen=True)
class Scoring:
    """Coefficients of scores: the highest of slope · z + offset, plus curvature · z², for a voice print z.

    Attributes:
        slopes: (S, K, D).
        offsets: (S, K).
        curvatures: (V, D).
        curvature: (S,) index of each speaker's curvature.
    """

    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    curvatures: NDArray[np.float32]
    curvature: NDArray[np.integer]


def rank(scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N, R) indices and values of the highest of (N, S) scores, in descending order; R = min(S, RANKED)."""
    count = min(RANKED, scores.shape[1])
    nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count] if count < scores.shape[1] else None
    found = scores if nearest is None else np.take_along_axis(scores, nearest, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    indices = order if nearest is None else np.take_along_axis(nearest, order, 1)
    return indices, np.take_along_axis(found, order, 1)


def profiles_of(
    names: Sequence[str], plda: Plda, prints: NDArray[np.floating], labels: NDArray[np.integer]
) -> Profiles:
    """Make profiles of the speakers that a model was trained on.

    Args:
        names: S names.
        plda: distribution of voice prints.
        prints: (N, D) voice prints of their recordings, at least one per speaker.
        labels: (N,) indices in `names`.
    """
    mine = [np.unique(prints[labels == index], axis=0) for index in range(len(names))]  # a repeated clip counts once
    centers, sizes = zip(*(centers_of(clips) for clips in mine), strict=True)
    return Profiles(
        tuple(names),
        plda,
        np.stack(centers),
        tuple(len(clips) for clips in mine),
        (True,) * len(names),
        np.stack(sizes),
        (frozenset(),) * len(names),
    )


def _replaced(rows: NDArray[Any], index: int, row: NDArray[Any]) -> NDArray[Any]:
    rows = rows.copy()
    rows[index] = row
    return rows

"""Whose voice sounds how: the enrolled speakers, those the model was trained on and those added later alike.

Letters: N recordings, D width of a voice print, S speakers, R of them ranked, K centres and C clips of a speaker, V
different numbers of clips.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.corpus.records import COMPANY
from speakerid.errors import UserError
from speakerid.printing import nfc
from speakerid.recognition.centres import centres_of, means_of
from speakerid.recognition.plda import Plda

MOST_CLIPS = 25
"""Clips of a speaker that count; more of them are mostly of the same occasions, and make the place no more certain."""
RANKED = 50
"""Speakers that compete for a recording, the nearest ones; what all the others would add is little, and takes time."""
MANY = 5000
"""Speakers from which on they are first compared in half precision."""
LONGEST_NAME = 100
RESERVED = re.compile(r"(unknown|stranger)[ _-]*\d*|nobody|silent|broken|too short")
"""What answers say instead of a name."""


@dataclass(frozen=True)
class Profiles:
    """Voice prints by name.

    Attributes:
        names: S, all different.
        plda: how voice prints scatter.
        centres: (S, K, D); a speaker of fewer than K clips has some of them twice.
        clips: how many recordings each speaker was enrolled from.
        trained: whether each speaker is one of those the model was trained on.
        centre_clips: (S, K) number of clips that each centre was made of; 0 for a centre that is there twice.
        recordings: of each speaker, digests of the recordings that were enrolled, see `Voice.digest`; none of those
            that the model was trained on.
    """

    names: tuple[str, ...]
    plda: Plda
    centres: NDArray[np.float32]
    clips: tuple[int, ...]
    trained: tuple[bool, ...]
    centre_clips: NDArray[np.int64]
    recordings: tuple[frozenset[int], ...]

    def scores(self, prints: NDArray[np.floating], of: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """(N, D) voice prints to (N, S) scores, see `Plda`, each of the speaker's centre that scores highest.

        Args:
            prints: see above.
            of: places of the speakers; everybody by default.
        """
        scoring, x = self.scoring, prints.astype(np.float32)
        some = slice(None) if of is None else of
        slopes, offsets = scoring.slopes[some], scoring.offsets[some]
        lines = (x @ slopes.reshape(-1, x.shape[1]).T).reshape(len(x), *offsets.shape) + offsets
        return lines.max(-1) + (x**2 @ scoring.curvatures.T)[:, scoring.curvature[some]]

    def ranked(self, prints: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(N, D) voice prints to the (N, R) places of the nearest speakers and their scores; R = min(S, RANKED)."""
        if len(self.names) < MANY:
            return rank(self.scores(prints))
        places, scores = zip(*map(self._ranked_among_many, prints), strict=True)
        return np.concatenate(places), np.concatenate(scores)

    def _ranked_among_many(self, voice_print: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`ranked` of one (D,) voice print: twice as many as wanted are chosen in half precision, these are scored."""
        scoring, x = self.scoring, torch.from_numpy(voice_print)
        lines = torch.mv(self._half, x.half()).float().view(len(self.names), -1) + torch.from_numpy(scoring.offsets)
        curves = torch.from_numpy(scoring.curvatures @ voice_print**2)
        rough = lines.amax(1) + curves[torch.from_numpy(scoring.curvature)]
        near = rough.topk(2 * RANKED).indices.numpy()
        places, scores = rank(self.scores(voice_print[None], near))
        return near[places], scores

    @cached_property
    def scoring(self) -> Scoring:
        """What the voice prints are multiplied with."""
        numbers, curvature = np.unique(np.minimum(self.clips, MOST_CLIPS), return_inverse=True)
        slopes, offsets = self.plda.lines(self.centres, numbers[curvature])
        curvatures = self.plda.curvatures(numbers)
        return Scoring(slopes.astype(np.float32), offsets.astype(np.float32), curvatures.astype(np.float32), curvature)

    @cached_property
    def _half(self) -> Tensor:
        """(S · K, D) slopes in half precision: where there are many, reading them from the memory takes the time."""
        return torch.from_numpy(self.scoring.slopes).half().flatten(0, 1)

    def with_speaker(
        self, name: str, prints: NDArray[np.floating], recordings: Iterable[int] = (), trained: bool = False
    ) -> Profiles:
        """Also a speaker, behind the others.

        Args:
            name: another one than those there.
            prints: (C, D) of the speaker's recordings.
            recordings: their digests, if they are known.
            trained: see the attribute.

        Raises:
            UserError: the name is there already, or is not a name.
        """
        self.check_new(name)
        name = self.stored_name(name)
        prints = np.unique(prints, axis=0)  # a clip given twice is one clip
        centres, sizes = centres_of(prints)
        return Profiles(
            (*self.names, name),
            self.plda,
            np.concatenate([self.centres, centres[None]]),
            (*self.clips, len(prints)),
            (*self.trained, trained),
            np.concatenate([self.centre_clips, sizes[None]]),
            (*self.recordings, frozenset(recordings)),
        )

    def check_new(self, name: str) -> None:
        """Refuse a name for a new speaker.

        Raises:
            UserError: it is there already, or is not a name.
        """
        check_name(name)
        if self.stored_name(name) in self.names:
            raise UserError(
                f"{name!r}: is enrolled already; `speakerid enroll --add` (`add=True`) adds recordings to that "
                "speaker, another speaker needs another name"
            )

    def with_more(self, name: str, prints: NDArray[np.floating], recordings: Iterable[int] = ()) -> Profiles:
        """With more recordings of a speaker who is there, trained or enrolled.

        The centres are those of all clips. Of a speaker with more than K, clips that share a centre stay together.

        Args:
            name: of the speaker.
            prints: (C, D) of further recordings.
            recordings: their digests, if they are known.

        Raises:
            UserError: there is no speaker of this name.
        """
        index = self.place(name)
        prints = np.unique(prints, axis=0)
        former, sizes = means_of(self.centres[index], self.centre_clips[index])
        points = np.concatenate([former, prints.astype(np.float64)])
        centres, sizes = centres_of(points, np.concatenate([sizes, np.ones(len(prints), np.int64)]))
        return replace(
            self,
            centres=_replaced(self.centres, index, centres),
            clips=(*self.clips[:index], self.clips[index] + len(prints), *self.clips[index + 1 :]),
            centre_clips=_replaced(self.centre_clips, index, sizes),
            recordings=(
                *self.recordings[:index],
                self.recordings[index] | frozenset(recordings),
                *self.recordings[index + 1 :],
            ),
        )

    def without(self, name: str) -> Profiles:
        """Without a speaker.

        Raises:
            UserError: there is none of this name.
        """
        gone = self.place(name)
        keep = [place for place in range(len(self.names)) if place != gone]
        return Profiles(
            tuple(self.names[place] for place in keep),
            self.plda,
            self.centres[keep],
            tuple(self.clips[place] for place in keep),
            tuple(self.trained[place] for place in keep),
            self.centre_clips[keep],
            tuple(self.recordings[place] for place in keep),
        )

    def renamed(self, old: str, new: str) -> Profiles:
        """With another name for a speaker.

        Raises:
            UserError: there is none of the old name, or one of the new, or the new one is none.
        """
        place = self.place(old)
        check_name(new)
        stored, new = self.stored_name(new), nfc(new)
        if stored in self.names and (stored == new or stored != self.names[place]):
            raise UserError(f"{new!r}: is enrolled already; a name stands for one speaker")
        return replace(self, names=(*self.names[:place], new, *self.names[place + 1 :]))

    def place(self, name: str) -> int:
        """Of a speaker, by name.

        Raises:
            UserError: there is none of this name.
        """
        if (stored := self.stored_name(name)) not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "the command `speakers` lists those there are"
            raise UserError(f"{name!r}: nobody of this name is enrolled; {hint}")
        return self.names.index(stored)

    def stored_name(self, name: str) -> str:
        """A name in the Unicode form in which it is there, in the composed one (NFC) if it is not."""
        if name in self.names or not isinstance(name, str):
            return name
        composed = nfc(name)
        return next((known for known in self.names if nfc(known) == composed), composed)


@dataclass(frozen=True)
class Scoring:
    """The score of a voice print z for a speaker is the highest of slope · z + offset, plus curvature · z².

    Attributes:
        slopes: (S, K, D).
        offsets: (S, K).
        curvatures: (V, D).
        curvature: (S,) which of them is a speaker's.
    """

    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    curvatures: NDArray[np.float32]
    curvature: NDArray[np.integer]


def rank(scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(N, S) scores to the (N, R) places of the highest and these, in descending order; R = min(S, RANKED)."""
    count = min(RANKED, scores.shape[1])
    nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count] if count < scores.shape[1] else None
    found = scores if nearest is None else np.take_along_axis(scores, nearest, 1)
    order = np.argsort(-found, axis=1, kind="stable")
    places = order if nearest is None else np.take_along_axis(nearest, order, 1)
    return places, np.take_along_axis(found, order, 1)


def profiles_of(
    names: Sequence[str], plda: Plda, prints: NDArray[np.floating], labels: NDArray[np.integer]
) -> Profiles:
    """Of the speakers a model was trained on.

    Args:
        names: S.
        plda: how voice prints scatter.
        prints: (N, D) of their recordings; at least one of everybody's.
        labels: (N,) places in `names`.
    """
    mine = [np.unique(prints[labels == place], axis=0) for place in range(len(names))]  # a clip given twice is one
    centres, sizes = zip(*(centres_of(clips) for clips in mine), strict=True)
    return Profiles(
        tuple(names),
        plda,
        np.stack(centres),
        tuple(len(clips) for clips in mine),
        (True,) * len(names),
        np.stack(sizes),
        (frozenset(),) * len(names),
    )


def _replaced(rows: NDArray[Any], index: int, row: NDArray[Any]) -> NDArray[Any]:
    rows = rows.copy()
    rows[index] = row
    return rows


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a speaker.

    Raises:
        UserError: it is empty, too long, reserved, or holds what cannot be printed in a line.
    """
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= LONGEST_NAME
        or name != name.strip()
        or not name.isprintable()
    ):
        raise UserError(
            f"name: found {name!r:.60}, expected 1 to {LONGEST_NAME} printable characters without blanks at the ends"
        )
    if name.startswith(COMPANY):
        raise UserError(f"name: found {name!r}, but names of company begin with {COMPANY}; choose another")
    if RESERVED.fullmatch(unicodedata.normalize("NFKC", name).casefold()):
        raise UserError(f"name: found {name!r}, which answers say of recordings without a name; choose another")

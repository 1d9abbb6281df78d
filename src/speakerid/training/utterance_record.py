"""Which utterances a model was trained on, so that it is never judged by them unawares.

An utterance is known by its feature path, which preparation derives from the recording, and by its length. So a corpus
that is moved, packed again, or packed as another dtype stays the same corpus.

Shapes: N utterances.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speakerid.corpus.records import Utterances
from speakerid.corpus.split import Split
from speakerid.errors import UserError

UNRECORDED = (
    "an older version wrote the checkpoint, which does not say what it was trained on; if the corpus has changed "
    "since, some validation utterances may have been trained on"
)
"""For a checkpoint without a record."""


@dataclass(frozen=True, eq=False)
class UtteranceRecord:
    """The utterances of a run, each as a hash of 64 bits: 8 bytes beside the 40 kB of its features.

    Attributes:
        train: (N,) int64, ascending; those that train.
        valid: (N,) int64, ascending; those that validate.
        earlier: (N,) int64, ascending; those that the weights of `init_from` were trained on.
        digest: of all utterances that train or validate, with their speakers, in any order.
    """

    train: Tensor
    valid: Tensor
    earlier: Tensor
    digest: str

    @staticmethod
    def of(utterances: Utterances, parts: Split) -> UtteranceRecord:
        """The record of a run that begins.

        Args:
            utterances: labeled.
            parts: which of them train and which validate.
        """
        keys = _keys(utterances)
        speakers = [utterances.speaker_names[speaker] for speaker in utterances.speakers.tolist()]
        lines = [
            f"{name} {keys[row]} {speakers[row]}"
            for name, rows in (("train", parts.train), ("valid", parts.valid))
            for row in rows
        ]
        digest = hashlib.blake2b("\n".join(sorted(lines)).encode(errors="surrogatepass"), digest_size=16).hexdigest()
        return UtteranceRecord(_sorted(keys[parts.train]), _sorted(keys[parts.valid]), _sorted(keys[:0]), digest)

    def beginning_with(self, former: UtteranceRecord | None) -> UtteranceRecord:
        """This record for a run whose first weights are those of another run."""
        if former is None:
            return self
        return replace(self, earlier=torch.cat([former.train, former.earlier]).unique())

    def trained_on(self, utterances: Utterances, rows: Sequence[int]) -> NDArray[np.bool_]:
        """(N,) whether the weights were trained on the utterances of these rows."""
        seen = torch.cat([self.train, self.earlier]).numpy()
        return np.isin(_keys(utterances)[np.asarray(rows, np.int64)], seen)

    @property
    def validation_trained_earlier(self) -> int:
        """Number of validation utterances that the weights of `init_from` were trained on."""
        return int(torch.isin(self.valid, self.earlier).sum())

    def changes(self, former: UtteranceRecord) -> str | None:
        """What differs from the utterances of another record, None if nothing does."""
        if self.digest == former.digest:
            return None
        now, then = (torch.cat([record.train, record.valid]) for record in (self, former))
        added, removed = (~torch.isin(now, then)).sum(), (~torch.isin(then, now)).sum()
        moved = torch.isin(self.train, former.valid).sum() + torch.isin(self.valid, former.train).sum()
        if not (added or removed or moved):
            return "utterances have other speakers"
        return f"utterances: {added} added, {removed} removed, {moved} moved between training and validation"


def _keys(utterances: Utterances) -> NDArray[np.int64]:
    """(N,) hashes of utterances."""
    lengths = utterances.lengths.tolist()
    digests = b"".join(
        hashlib.blake2b(f"{length} {name}".encode(errors="surrogatepass"), digest_size=8).digest()
        for name, length in zip(utterances.names, lengths, strict=True)
    )
    return np.frombuffer(digests, "<i8").astype(np.int64)


def _sorted(keys: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.sort(keys))


def never_trained_on(
    utterances: Utterances, rows: Sequence[int], records: Sequence[UtteranceRecord | None], where: str
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which utterances can judge models, and what to say about the others.

    Args:
        utterances: of one part of a corpus.
        rows: (N,) the utterances that are meant to judge.
        records: of the models; None for a checkpoint that has none.
        where: names corpus and part in the lines.

    Returns:
        (N,) true at utterances that no model was trained on, and lines to print.

    Raises:
        UserError: there are none.
    """
    trained = np.zeros(len(rows), bool)
    for record in records:
        if record is not None:
            trained |= record.trained_on(utterances, rows)
    lines = [f"{where}: {UNRECORDED}"] if None in records else []
    if trained.any():
        found = f"{where}: {trained.sum()} of {len(rows)} utterances were trained on"
        if trained.all():
            raise UserError(
                f"{found}, so nothing is left to judge by; restore the corpus that it was trained on, or add recordings"
            )
        lines.append(f"{found}; they are left out, and {(~trained).sum()} remain")
    return ~trained, lines

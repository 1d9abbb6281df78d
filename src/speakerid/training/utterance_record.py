"""Record of the utterances that a model was trained on, so that it is never evaluated on them by accident.

An utterance is identified by its feature path, which preparation derives from the recording, and its length. So a
corpus that is moved, packed again or packed as another dtype is the same corpus.

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

from speakerid.base.errors import UserError
from speakerid.corpus.split import Split
from speakerid.corpus.utterances import Utterances

UNRECORDED = (
    "an older version wrote the checkpoint, without a record of its training utterances; if the corpus has changed "
    "since, some validation utterances may have been trained on"
)
"""Warning about a checkpoint without a record."""


@dataclass(frozen=True, eq=False)
class UtteranceRecord:
    """Utterances of a run, each as a 64-bit hash: 8 bytes, compared with about 40 kB of features.

    Attributes:
        train: (N,) int64, ascending; training utterances.
        valid: (N,) int64, ascending; validation utterances.
        earlier: (N,) int64, ascending; utterances that the weights of `init_from` were trained on.
        digest: digest of all training and validation utterances with their speakers, regardless of order.
    """

    train: Tensor
    valid: Tensor
    earlier: Tensor
    digest: str

    @staticmethod
    def of(utterances: Utterances, parts: Split) -> UtteranceRecord:
        """Record of a new run.

        Args:
            utterances: labeled utterances.
            parts: their split into training and validation.
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

    def initialized_from(self, former: UtteranceRecord | None) -> UtteranceRecord:
        """This record for a run that starts from the weights of another run."""
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
        """Differences from the utterances of another record, None if there are none."""
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
    """Find the utterances that none of some models was trained on.

    Args:
        utterances: utterances of a part of a corpus.
        rows: (N,) indices of the utterances to evaluate on.
        records: records of the models; None for a checkpoint without one.
        where: name of corpus and part, for the lines.

    Returns:
        (N,) true at utterances that no model was trained on, and lines to print about the others.

    Raises:
        UserError: the models were trained on all of the utterances.
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
                f"{found}, so none are left to evaluate on; restore the corpus it was trained on, or add recordings"
            )
        lines.append(f"{found}; they are left out, and {(~trained).sum()} remain")
    return ~trained, lines

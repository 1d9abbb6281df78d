"""Options and result of `prepare`."""

from __future__ import annotations

from dataclasses import dataclass, field

from speakerid.base.files import StrPath
from speakerid.config import FeatureConfig
from speakerid.corpus.split import By
from speakerid.corpus.store import DType
from speakerid.corpus.utterances import Corpus
from speakerid.preparation.quality.findings import Examined, Finding
from speakerid.preparation.sources.annotated import TurnOptions
from speakerid.preparation.sources.recordings import Scan
from speakerid.preparation.write import LayoutOut


@dataclass(frozen=True)
class Options:
    """Options of `prepare`; the default features are those of HW4.

    Attributes:
        layout: layout of the source, see `speakerid.preparation.sources.layouts.LAYOUTS`; `auto` detects it.
        turns: how turns of annotated recordings are read; None for the defaults.
        layout_out: what to write: the packed store, HW4 files, or both.
        features: settings of the log-mels.
        dtype: type of the packed store.
        test_fraction: share of each speaker's recordings for the test: the last sessions if sessions are known, else
            the last recordings.
        split: how the test data are chosen, see `speakerid.corpus.split`.
        strangers: number of speakers to hold out entirely.
        company: folders or tables of other people's recordings, see `preparation.company`.
        occasions: number of simulated occasions per session of a speaker, see `preparation.occasions`; 0 for none.
        occasion_seed: seed of the simulated occasions.
        speeds: add copies of the training recordings at `SPEEDS`, each speed counted as another speaker.
        max_seconds: leave out longer recordings.
        strict: raise an error instead of leaving out a broken recording.
        workers: number of processes, see `speakerid.base.parallel`.
    """

    layout: str = "auto"
    turns: TurnOptions | None = None
    layout_out: LayoutOut = "packed"
    features: FeatureConfig = field(default_factory=FeatureConfig)
    dtype: DType = "float16"
    test_fraction: float = 0.0
    split: By = "auto"
    strangers: int = 0
    company: tuple[StrPath, ...] = ()
    occasions: int = 0
    occasion_seed: int = 0
    speeds: bool = False
    max_seconds: float = 1200.0
    strict: bool = False
    workers: int | None = None

    @property
    def one_copy(self) -> bool:
        """Whether the packed store is the only copy of the features when the preparation is complete."""
        return self.layout_out == "packed"


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`."""

    corpus: Corpus
    scan: Scan
    skipped: list[str]
    """One line for each recording that was left out."""
    out_of_memory: int
    """Number of recordings that were left out only for lack of memory."""
    examined: Examined | None
    """None if the source holds features instead of recordings."""
    findings: list[Finding]

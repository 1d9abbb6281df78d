"""Settings of the corpus and its split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from speakerid.config.settings import Count, FilePath, Numeric, Probability, Settings

DEMO_ROOT = Path("data/demo")
"""Folder of the demonstration corpus, which is written on first use if it is missing."""


class DataConfig(Settings, frozen=True):
    """The corpus, and the part of it that is held out for validation."""

    root: FilePath = DEMO_ROOT
    """Folder of the corpus: what `speakerid prepare` wrote, or HW4 files (homework 4 of Machine Learning at National
    Taiwan University)."""
    split: Literal["auto", "session", "order", "random"] = "auto"
    """Split of each speaker's utterances: `session` keeps sessions whole, `order` holds the last utterances out,
    `random` mixes sessions into both parts; `auto` is `session` for every speaker with two known sessions or more, and
    `order` for the others."""
    valid_fraction: Annotated[float, Numeric, Field(gt=0, lt=1)] = 0.1
    """Share of each speaker's utterances that is held out for validation."""
    folds: Annotated[int, Numeric, Field(ge=0, le=10)] = 0
    """Folds of a cross-validation over sessions, instead of `valid_fraction`: for each fold a model is trained without
    its sessions and validated on them, and the final model is trained on everything. Takes `folds` + 1 times as long.
    Corpora of more than 5,000 labeled utterances use `valid_fraction` anyway, and so does 0."""
    dtype: Literal["float16", "float32"] | None = None
    """Data type of the packed copy; by default float16 (rounded by at most one part in 2,048, and half the size), or
    the one in which `prepare` packed the corpus."""
    packed: FilePath | None = None
    """Folder for the packed copy of the features; by default `packed/` inside `root`."""
    company_share: Probability = 0.5
    """Share of every training batch that is company, that is, other people who only help to train (`prepare
    --company`). Reduced if company is few people, so that none is drawn more often than the average speaker."""
    frames_per_batch: Count = 16_384
    """Padded frames in a batch of whole utterances (validation and inference), which bounds the memory."""

"""Settings of the features: how a waveform becomes log-mel frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator

from speakerid.config.settings import Count, Numeric, Positive, Settings, apply_override, parse


class FeatureConfig(Settings, frozen=True):
    """Settings of log-mel features; stored in every corpus (`features.yaml`) and every checkpoint."""

    sample_rate: Count = 16_000
    """In Hz."""
    window_length: Count = 400
    """Length of the Hann window and of the Fourier transform, in samples: 25 ms."""
    hop_length: Count = 160
    """Samples between frames: 10 ms."""
    n_mels: Annotated[int, Numeric, Field(ge=1, le=10_000)] = 40
    """Number of mel bands."""
    f_min: Annotated[float, Numeric, Field(ge=0)] = 50.0
    """Lower edge of the lowest band, in Hz."""
    floor: Positive = 1e-9
    """Power below which the logarithm is clamped: log(1e-9) = -20.723."""
    level: Annotated[float, Numeric, Field(le=0)] = -3.0
    """Peak level to which a recording is normalized, in dB of full scale."""
    trim_silence: bool = True
    """Remove silence, including pauses within a recording."""
    equalise: bool = False
    """Whether features are equalized, as corpora of earlier versions may be; only false is valid."""

    @field_validator("equalise")
    @classmethod
    def _check_equalise(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "expected false, since equalized features need all recordings of a speaker; prepare without it"
            )
        return value

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop_length


def parse_features(overrides: Sequence[str]) -> FeatureConfig:
    """The default feature settings with `setting=value` overrides applied.

    Raises:
        UserError: settings are unknown or wrong; the message names up to 20 of them.
    """
    content: dict[str, Any] = {}
    for override in overrides:
        apply_override(content, override)
    return parse(FeatureConfig, content, "--features")

"""Write recordings for a benchmark: a given duration of audio, in several formats and sizes."""

import os
from bisect import bisect_left
from dataclasses import dataclass
from itertools import product, zip_longest
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from speakerid import FeatureConfig, LogMel, UserError, decode
from speakerid.audio.resample import resample
from speakerid.preparation.sources.layouts import scan
from speakerid.preparation.sources.recordings import Recording

FORMATS = {"flac": "PCM_16", "ogg": "VORBIS"}
"""File extensions, and libsndfile's names of the encodings."""
FEATURES = FeatureConfig()
FEWEST = 4
"""Number of recordings of the smallest corpus that `prepare` accepts: two of two speakers."""
BLOCK = 1 << 16
"""Number of samples written at a time; libsndfile's Vorbis encoder overflows its stack on minutes of them."""


@dataclass(frozen=True)
class Source:
    """Folder with a folder per speaker."""

    path: Path
    files: int
    seconds: float
    """Total duration of the audio."""


def write_sources(recordings: Path, folder: Path, seconds: float) -> dict[tuple[str, str], Source]:
    """Write the recordings as 16 kHz mono, repeated under new names until there is enough audio.

    Args:
        recordings: folder in one of `speakerid.preparation.sources.layouts.LAYOUTS`.
        folder: folder to write.
        seconds: least total duration of the audio.

    Returns:
        For each format, all files as `whole`, their first `quarter`, and the first four recordings as `start-up`.

    Raises:
        UserError: `prepare` would leave out a recording, or there are fewer than two speakers with two recordings.
    """
    found = _in_pairs(recordings)
    speakers = dict.fromkeys(recording.speaker for recording in found)
    folders = {speaker: f"{index:04d}" for index, speaker in enumerate(speakers)}
    log_mel = LogMel(FEATURES)
    names: list[str] = []
    ends = [0.0]
    with tqdm(total=seconds, desc="Write", unit=" s of audio", unit_scale=True, ncols=0) as bar:
        while ends[-1] < seconds or len(names) < 4 * FEWEST:
            repeat, index = divmod(len(names), len(found))
            names.append(f"{folders[found[index].speaker]}/{repeat:04d}-{index:06d}")
            # One sample fewer in each repetition, so that no two files are equal.
            waveform = _load(found[index], log_mel)[repeat:]
            for ending in FORMATS:
                _write(folder / ending / "whole" / f"{names[-1]}.{ending}", waveform)
            ends.append(ends[-1] + len(waveform) / FEATURES.sample_rate)
            bar.update(ends[-1] - ends[-2])
    quarter = max(FEWEST, bisect_left(ends, ends[-1] / 4))
    counts = {"whole": len(names), "quarter": quarter, "start-up": FEWEST}
    for ending, (size, count) in product(FORMATS, counts.items()):
        if size != "whole":
            for name in names[:count]:
                _link(folder / ending / "whole" / f"{name}.{ending}", folder / ending / size / f"{name}.{ending}")
    return {
        (ending, size): Source(folder / ending / size, count, ends[count])
        for ending, (size, count) in product(FORMATS, counts.items())
    }


def _in_pairs(recordings: Path) -> list[Recording]:
    """Recordings in an order of two of each speaker in turn, so that every prefix is a corpus."""
    speakers: dict[str, list[Recording]] = {}
    for recording in scan(recordings).recordings:
        speakers.setdefault(recording.speaker, []).append(recording)
    of_speakers = [found for found in speakers.values() if len(found) > 1]
    if len(of_speakers) < 2:
        raise UserError(
            f"{recordings}: speakers with two recordings or more: found {len(of_speakers)}, expected at least 2"
        )
    pairs = [[found[first : first + 2] for first in range(0, len(found), 2)] for found in of_speakers]
    return [recording for turn in zip_longest(*pairs, fillvalue=[]) for pair in turn for recording in pair]


def _load(recording: Recording, log_mel: LogMel) -> NDArray[np.float32]:
    try:
        sound = decode(recording.path, recording.start, recording.end)
        log_mel(sound.waveform, sound.sample_rate)
    except UserError as error:
        raise UserError(f"{recording.name}: {error}; leave it out") from error
    return resample(sound.waveform, sound.sample_rate, FEATURES.sample_rate)


def _write(path: Path, waveform: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", FEATURES.sample_rate, 1, FORMATS[path.suffix[1:]]) as file:
        for start in range(0, len(waveform), BLOCK):
            file.write(waveform[start : start + BLOCK])


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, to)

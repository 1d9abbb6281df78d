"""Speaker, session and utterance from file and folder names, for corpora with a fixed layout."""

import os
import re
from collections.abc import Callable
from typing import NamedTuple

Rule = Callable[[tuple[str, ...], str], "PathLabels | None"]
"""Maps the folders below the source and the file name to a `PathLabels`; None if the file does not fit the layout."""


class PathLabels(NamedTuple):
    """What the path of a recording says about it."""

    speaker: str
    session: str | None = None
    utterance: str | None = None
    """Files of a speaker and session with the same utterance have the same speech; only one is used."""
    rank: int = 0
    """The file of the lowest rank is used."""


def _librispeech(folders: tuple[str, ...], file: str) -> PathLabels | None:
    """LibriSpeech (Panayotov et al. 2015); LibriTTS uses `_` instead of `-`."""
    speaker, chapter = folders[-2:] if len(folders) > 1 else ("", "")
    if not speaker.isdecimal() or not file.startswith((f"{speaker}-{chapter}-", f"{speaker}_{chapter}_")):
        return None
    return PathLabels(speaker, chapter, os.path.splitext(file)[0])


def _vctk(folders: tuple[str, ...], file: str) -> PathLabels | None:
    """VCTK (Yamagishi et al. 2019): since version 0.92, every sentence has recordings from two microphones."""
    fits = re.match(r"([ps][0-9]+)_([0-9]+)(?:_mic([0-9]))?\.", file)
    if not fits or folders[-1:] != (fits[1],):
        return None
    return PathLabels(folders[-1], None, fits[2], int(fits[3] or 0))


def _voxceleb(folders: tuple[str, ...], file: str) -> PathLabels | None:
    """VoxCeleb1 and 2 (Nagrani et al. 2017, Chung et al. 2018): the video is the session."""
    stem, ending = os.path.splitext(file)
    if len(folders) < 2 or not re.fullmatch("id[0-9]{5}", folders[-2]) or not re.fullmatch("[0-9]{5}", stem):
        return None
    return PathLabels(folders[-2], folders[-1], stem, 0 if ending.lower() in (".wav", ".flac") else 1)


def _cmuarctic(folders: tuple[str, ...], file: str) -> PathLabels | None:
    """CMU Arctic (Kominek and Black 2003); `orig/` in old releases has the same sentences as `wav/`."""
    for folder in folders:
        if fits := re.fullmatch(r"cmu_us_([a-z0-9]+)_arctic.*", folder):
            return PathLabels(fits[1], None, os.path.splitext(file)[0], 0 if folders[-1] == "wav" else 1)
    return None


def _cnceleb(folders: tuple[str, ...], file: str) -> PathLabels | None:
    """CN-Celeb (Fan et al. 2020): genre and number are the session; files of the test part start with the speaker."""
    fits = re.fullmatch(r"(?:(id[0-9]{5})-)?([a-z_]+-[0-9]+)-[0-9]+\.\w+", file)
    if not fits or not (
        speaker := fits[1] or next(iter(re.findall("^id[0-9]{5}$", folders[-1])), "") if folders else ""
    ):
        return None
    return PathLabels(speaker, fits[2])


RULES: dict[str, Rule] = {
    "librispeech": _librispeech,
    "vctk": _vctk,
    "voxceleb": _voxceleb,
    "cnceleb": _cnceleb,
    "cmuarctic": _cmuarctic,
}
"""Rules by layout, in the order in which they are tried."""

"""Simulate other recording occasions: pass each recording through a channel drawn for its speaker and session.

The results are FLAC files, so all code that reads recordings can read them.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import soundfile

from speakerid.audio.codec_simulation import check_codecs
from speakerid.audio.decode import decode
from speakerid.audio.occasion import Occasion, generator
from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file
from speakerid.base.parallel import parallel_map
from speakerid.preparation.recording_features import digest_of
from speakerid.preparation.sources.recordings import Recording

FOLDER = "occasions"
"""Folder with the simulated recordings of a corpus."""
FORMAT = "speakerid occasions 1"
"""Version of the simulation, hashed into file names. Increase it if the same recording would sound different."""


def split_sessions(recordings: Iterable[Recording], occasions: int) -> list[Recording]:
    """Split each session into several, the occasions, of consecutive recordings.

    Args:
        recordings: sorted by speaker and session.
        occasions: number of occasions per session; fewer if the session has fewer recordings.
    """
    result = []
    for (_, session), group in groupby(recordings, key=lambda recording: (recording.speaker, recording.session)):
        members = list(group)
        for index, recording in enumerate(members):
            occasion = f"occasion {index * min(occasions, len(members)) // len(members) + 1}"
            name = occasion if session is None else f"{session}, {occasion}"
            result.append(replace(recording, session=name))
    return result


def simulate(
    recordings: Sequence[Recording],
    folder: Path,
    seed: int = 0,
    max_seconds: float = 1200.0,
    workers: int | None = None,
) -> list[Recording]:
    """Write each recording as if recorded on the occasion of its session.

    Existing files are not written again. A recording that cannot be decoded is returned unchanged, and the error is
    reported where it is read.

    Args:
        recordings: recordings with known sessions.
        folder: folder to write to.
        seed: seed of the occasions. A file depends only on the seed, its recording, speaker and session.
        max_seconds: longer recordings are returned unchanged.
        workers: number of processes. Default: one per core.

    Returns:
        The recordings with the paths of the written files.

    Raises:
        UserError: a codec is not installed, or the folder cannot be written.
    """
    check_codecs("--occasions")
    write = partial(_write, folder=folder, seed=seed, max_seconds=max_seconds)
    paths = parallel_map(write, recordings, "Simulate", "recordings", workers, on_death=lambda *_: None)
    return [
        recording if path is None else replace(recording, path=path, start=None, end=None, channel=None)
        for recording, path in zip(recordings, paths, strict=True)
    ]


def remove_others(folder: Path, recordings: Collection[Recording]) -> None:
    """Remove simulated recordings that are not in `recordings`."""
    kept = {recording.path for recording in recordings}
    for path in folder.glob("*.flac"):
        if path not in kept:
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _write(recording: Recording, *, folder: Path, seed: int, max_seconds: float) -> Path | None:
    """Write one simulated recording; return its path, None if the original cannot be decoded."""
    session = recording.session
    assert session is not None
    names = (recording.speaker, session, recording.name)
    try:
        digest = digest_of(recording)
        key = hashlib.blake2b(repr((FORMAT, digest, seed, *names)).encode(), digest_size=16).hexdigest()
        path = folder / f"{key}.flac"
        if path.exists():
            return path
        sound = decode(recording.path, recording.start, recording.end, max_seconds, recording.channel)
        occasion = Occasion.of(seed, recording.speaker, session)
        samples, rate = occasion.record(sound.waveform, sound.sample_rate, generator(seed, *names))
    except UserError:
        return None
    with atomic_file(path) as unfinished, unfinished.open("wb") as file:
        soundfile.write(file, samples, rate, subtype="PCM_16", format="FLAC")
    return path

"""Folders of sounds to draw from: noise, music, other people's speech, impulse responses of rooms.

Known are MUSAN's layout (Snyder, Chen & Povey 2015: `noise/`, `music/`, `speech/`) and that of RIRS_NOISES (Ko et al.
2017: rooms and noises in one folder, told apart by lists beside them); any other folder of sound files will do.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from numpy.typing import NDArray

from speakerid.audio.decode import SOUNDFILE_EXTENSIONS
from speakerid.audio.resample import check_rate
from speakerid.errors import UserError

CONTENTS = ("noise", "music", "speech")
ROOM_SECONDS = 20.0
"""Longest impulse response that is one: a cathedral's is half as long."""
ATTEMPTS = 10
"""Stretches of digital silence in a row, after which a folder is refused."""
BLOCK_SAMPLES = 1 << 20
"""Of all channels together, read at a time."""


@dataclass(frozen=True)
class NoiseFolder:
    """Noise, music and speech to mix into recordings.

    Attributes:
        root: the folder.
        names: of the files, relative to the root, by content: `noise`, `music`, `speech`, those that there are.
        digest: of the names and sizes of all files.
    """

    root: Path
    names: dict[str, tuple[str, ...]]
    digest: str

    @classmethod
    def scan(cls, root: Path) -> "NoiseFolder":
        """What there is; the innermost folder called noise, music or speech says what a file contains, noise without.

        Raises:
            UserError: no such folder, one that cannot be read, or without sound files.
        """
        found, digest = _scan(root, without="rir_list")
        names: dict[str, list[str]] = {content: [] for content in CONTENTS}
        for name in found:
            folders = (root.name, *PurePosixPath(name).parts[:-1])
            contents = [folder.lower() for folder in folders if folder.lower() in CONTENTS]
            names[contents[-1] if contents else "noise"].append(name)
        return cls(root, {content: tuple(members) for content, members in names.items() if members}, digest)

    def stretch(self, content: str, seconds: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        """A random stretch of a random file, mixed to mono; nothing else of the file is decoded.

        Args:
            content: one of those in `names`.
            seconds: length of the stretch; the whole file where that is shorter.
            rng: decides which.

        Returns:
            (samples,) with a peak of 1, and Hz.

        Raises:
            UserError: naming the file, which is broken, empty, or of a sample rate outside 1 to 384 kHz; digital
                silence ten times in a row.
        """
        names = self.names[content]
        path = self.root
        for _ in range(ATTEMPTS):
            path = self.root / names[rng.integers(len(names))]
            with _opened(path) as sound:
                frames = min(sound.frames, ceil(seconds * sound.samplerate))
                sound.seek(int(rng.integers(sound.frames - frames + 1)))
                samples = _read(sound, frames, channel=None)
                if samples.any():
                    return samples, sound.samplerate
        raise UserError(f"{path}: digital silence, as were {ATTEMPTS - 1} files before; remove such files")


@dataclass(frozen=True)
class RoomFolder:
    """Impulse responses of rooms.

    Attributes:
        root: the folder.
        names: of the files, relative to the root.
        digest: of the names and sizes of all files.
    """

    root: Path
    names: tuple[str, ...]
    digest: str

    @classmethod
    def scan(cls, root: Path) -> "RoomFolder":
        """What there is.

        Raises:
            UserError: no such folder, one that cannot be read, or without sound files.
        """
        return cls(root, *_scan(root, without="noise_list"))

    def response(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], int]:
        """A random impulse response, as a random one of the microphones that recorded it heard it.

        Args:
            rng: decides which.

        Returns:
            (samples,) with a peak of 1, and Hz.

        Raises:
            UserError: naming the file, which is broken, silent, of a sample rate outside 1 to 384 kHz, or over 20 s.
        """
        path = self.root / self.names[rng.integers(len(self.names))]
        with _opened(path) as sound:
            seconds = sound.frames / sound.samplerate
            if seconds > ROOM_SECONDS:
                raise UserError(
                    f"found {seconds:.1f} s, expected a room's impulse response of at most {ROOM_SECONDS} s"
                )
            samples = _read(sound, sound.frames, channel=int(rng.integers(sound.channels)))
            if not samples.any():
                raise UserError("found silence, expected a room's impulse response")
            return samples, sound.samplerate


def _scan(root: Path, without: str) -> tuple[tuple[str, ...], str]:
    """Names, relative to a folder and in order, of its sound files but those in lists called `without`; a digest."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; expected a folder with sound files in it")
    try:
        paths = list(_files(root, frozenset()))
        listed = {path.parent: _entries(path) for path in paths if path.name == without}
        found = sorted(
            (path.relative_to(root).as_posix(), path.stat().st_size)
            for path in paths
            if path.suffix.lower() in SOUNDFILE_EXTENSIONS
            and not any(path.name in listed.get(folder, ()) for folder in path.parents)
        )
    except OSError as error:
        raise UserError(f"{root}: cannot be read: {error.strerror}: {error.filename!r}") from error
    if not found:
        endings = ", ".join(SOUNDFILE_EXTENSIONS)
        raise UserError(f"{root}: no sound files found; expected some that end in {endings}")
    digest = hashlib.blake2b(digest_size=16)
    for name, size in found:
        digest.update(os.fsencode(name) + b"\0%d\0" % size)
    return tuple(name for name, _ in found), digest.hexdigest()


def _files(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Every visible file below a folder; links are followed, but not back up."""
    real = folder.resolve()
    if real in above:
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(Path(entry.path), above | {real})
        elif entry.is_file():
            yield Path(entry.path)


def _entries(path: Path) -> frozenset[str]:
    """The file names at the ends of the lines of one of RIRS_NOISES's lists."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return frozenset(line.split()[-1].rsplit("/", 1)[-1] for line in lines if line.strip())


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """A sound file; whatever is wrong with it, the error names it."""
    try:
        # By its descriptor: soundfile wants names to be Unicode.
        with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
            check_rate(sound.samplerate)
            if not sound.frames:
                raise UserError("holds no samples")
            yield sound
    except (soundfile.SoundFileError, OSError, UserError) as error:
        reason = " ".join(_reason(error).split())
        raise UserError(f"{path}: {reason}; mend or remove this file") from error


def _read(sound: soundfile.SoundFile, frames: int, channel: int | None) -> NDArray[np.float32]:
    """The next frames of one channel, or the mean of all, at a peak of 1; in blocks, for any number of channels."""
    blocks: list[NDArray[np.floating]] = []
    block_frames = max(1, BLOCK_SAMPLES // sound.channels)
    for start in range(0, frames, block_frames):
        block = sound.read(min(block_frames, frames - start), dtype="float32", always_2d=True)
        if not len(block):
            break
        if not np.isfinite(block).all():
            raise UserError("holds samples that are not finite numbers")
        blocks.append(block.mean(1, dtype=np.float64) if channel is None else block[:, channel].copy())
    if not blocks:
        raise UserError("ends before the samples that its header promises")
    samples = np.concatenate(blocks)
    # The level is set by who asks; near a peak of one nothing overflows or vanishes until then.
    return (samples / (np.abs(samples).max() or 1.0)).astype(np.float32)


def _reason(error: Exception) -> str:
    """What went wrong, without the name of the file."""
    if isinstance(error, soundfile.LibsndfileError):
        return f"cannot be decoded: {error.error_string}"
    return f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)

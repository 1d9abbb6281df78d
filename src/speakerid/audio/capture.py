"""Sound that arrives in time: from a microphone, or raw from a pipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Queue
from typing import Any, BinaryIO

import numpy as np

from speakerid.audio.log_mel import Samples
from speakerid.base.errors import UserError
from speakerid.base.extras import install

BLOCK_SECONDS = 0.1
MOST_BLOCKS = 300
"""Number of blocks of a pipe that wait at most; then its writer waits."""
HEADERS = {b"RIFF": "a WAVE file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3\x03": "an MP3 file"}
"""First bytes of what is not raw samples."""


@dataclass(frozen=True)
class Block:
    """Sound that arrived in one piece."""

    samples: Samples
    """(N,) samples in [-1, 1]."""
    due: float
    """Time (`time.monotonic`) from which it could be processed: when it arrived, or when it would have been spoken if
    the stream ran in real time, whichever is later. So a pipe that is faster than speech is never late."""
    lost: bool = False
    """Whether the system lost sound before it."""

    @property
    def late(self) -> float:
        """Seconds for which the block has waited; negative if it came early."""
        return time.monotonic() - self.due


@dataclass(frozen=True)
class Source:
    """A stream of sound."""

    name: str
    """Description of the device, for people."""
    sample_rate: int
    blocks: Iterator[Block]
    """Blocks; they end where the stream does."""


class _Clock:
    """Computes when blocks are due."""

    def __init__(self, sample_rate: int) -> None:
        self._rate, self._began, self._samples = sample_rate, 0.0, 0

    def block(self, samples: Samples, lost: bool = False) -> Block:
        now = time.monotonic()
        if not self._samples:
            self._began = now - len(samples) / self._rate
        self._samples += len(samples)
        return Block(samples, max(now, self._began + self._samples / self._rate), lost)


@contextmanager
def pipe(stream: BinaryIO, sample_rate: int) -> Iterator[Source]:
    """Read raw samples (signed 16 bits, little-endian, mono) from a pipe while the block runs.

    Raises:
        UserError: the stream is a terminal. When the blocks are read: it begins like a file with a header.
    """
    if stream.isatty():
        raise UserError("--stdin: found a terminal, expected a pipe of raw samples: ffmpeg … -f s16le -ac 1 - | …")
    queue: Queue[Block | UserError | None] = Queue(MOST_BLOCKS)

    def read() -> None:
        try:
            for block in _raw_blocks(stream, sample_rate):
                queue.put(block)
            queue.put(None)
        except UserError as error:
            queue.put(error)
        except (OSError, ValueError) as error:  # ValueError: closed
            queue.put(UserError(f"--stdin: cannot be read: {error}"))

    # A daemon, since reading cannot be interrupted and the writer may be waiting for ever.
    threading.Thread(target=read, daemon=True).start()
    yield Source("standard input", sample_rate, _until_end(queue))


def _raw_blocks(stream: BinaryIO, sample_rate: int) -> Iterator[Block]:
    clock, rest, first = _Clock(sample_rate), b"", True
    size = 2 * round(BLOCK_SECONDS * sample_rate)
    # A raw stream returns what there is. A thread that waits in a buffered one would hold its lock at the exit of the
    # interpreter, which then aborts.
    read: Callable[[int], bytes] = getattr(stream, "raw", stream).read
    while data := read(size):
        data = rest + data
        if first and (kind := HEADERS.get(data[:4])):
            raise UserError(
                f"--stdin: found {kind}, expected raw samples without a header; convert it: "
                f"ffmpeg -i FILE -f s16le -ac 1 -ar {sample_rate} - | …"
            )
        first = False
        even = len(data) // 2 * 2
        rest = data[even:]
        if even:
            integers = np.frombuffer(data[:even], "<i2")
            yield clock.block(np.asarray(integers / np.float32(2**15), np.float32))


@contextmanager
def microphone(device: str | None = None) -> Iterator[Source]:
    """Record from a microphone while the block runs, at the device's own sample rate.

    Args:
        device: number or part of the name of an input device; by default that of the system.

    Raises:
        UserError: sounddevice or PortAudio is missing, or the device cannot be opened. When the blocks are read: the
            device has been unplugged.
    """
    sounddevice = _sounddevice()
    chosen = int(device) if device is not None and device.isdecimal() else device
    queue: Queue[Block | UserError | None] = Queue()
    try:
        found: Any = sounddevice.query_devices(chosen, "input")
        rate = round(found["default_samplerate"])
        clock, ended = _Clock(rate), UserError(f"--device: {found['name']} stopped; connect it again")

        def received(samples: Any, _frames: int, _time: Any, status: Any) -> None:
            queue.put(clock.block(samples[:, 0].copy(), bool(status.input_overflow)))

        stream = sounddevice.InputStream(
            rate, round(BLOCK_SECONDS * rate), chosen, 1, "float32", callback=received,
            finished_callback=lambda: queue.put(ended),
        )  # fmt: skip
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: no device of this name
        raise UserError(f"--device: {' '.join(str(error).split())}; {_inputs(sounddevice)}") from error
    try:
        yield Source(found["name"], rate, _until_end(queue))
    finally:
        stream.close()


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UserError(
            f"listen: a microphone needs sounddevice; {install('listen')}; or pipe raw samples to --stdin"
        ) from error
    except OSError as error:
        raise UserError(
            f"listen: sounddevice does not work: {error}; install PortAudio (Debian, Ubuntu: apt install "
            "libportaudio2; Fedora: dnf install portaudio), or pipe raw samples to --stdin"
        ) from error
    return sounddevice


def _inputs(sounddevice: Any) -> str:
    """List of the input devices, for an error message."""
    devices = enumerate(sounddevice.query_devices())
    names = [f"{number} ({device['name']})" for number, device in devices if device["max_input_channels"]]
    if not names:
        return "found no device that records; connect a microphone, or pipe raw samples to --stdin"
    return f"expected one of {', '.join(names)}"


def _until_end(queue: Queue[Block | UserError | None]) -> Iterator[Block]:
    while (item := queue.get()) is not None:
        if isinstance(item, UserError):
            raise item
        yield item

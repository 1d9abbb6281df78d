"""Identify the current speaker from chunks of 100 ms, as they come from a microphone.

    python scripts/examples/stream.py speaker.safetensors recording.wav

`listen` takes any iterator of chunks: replace `chunks_of` by one that reads a sound card. Every half second it
identifies the last three seconds and prints the time, the speaker's name or why there is none, and the probability.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import soundfile

from speakerid.base.errors import UserError
from speakerid.cli import exit_with
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Answer

CHUNK, EVERY, LOOK_BACK = 0.1, 5, 30
"""Seconds per chunk; chunks between answers; chunks used for an answer."""


def listen(recognizer: Recognizer, chunks: Iterable[np.ndarray], sample_rate: int) -> Iterator[tuple[float, Answer]]:
    """Yield the time in seconds, and the speaker of the last chunks."""
    heard: deque[np.ndarray] = deque(maxlen=LOOK_BACK)
    samples = 0
    for count, chunk in enumerate(chunks, start=1):
        heard.append(chunk)
        samples += len(chunk)
        if count % EVERY == 0:
            yield samples / sample_rate, recognizer.identify(np.concatenate(heard), sample_rate)


def chunks_of(path: str) -> Iterator[np.ndarray]:
    """(N,) float32 samples of 100 ms each."""
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(round(CHUNK * file.samplerate), dtype="float32", always_2d=True):
            yield block.mean(1)


def main() -> int:
    if len(sys.argv) != 3:
        raise UserError("usage: stream.py BUNDLE RECORDING")
    bundle, path = sys.argv[1:]
    for seconds, answer in listen(Recognizer.load(bundle), chunks_of(path), soundfile.info(path).samplerate):
        print(f"{seconds:6.1f} s  {answer.name or answer.said}  {answer.probability:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    exit_with(main)

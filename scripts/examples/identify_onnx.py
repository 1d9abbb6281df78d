"""Identify speakers with onnxruntime, soundfile and NumPy alone, without torch and speakerid.

    python scripts/examples/identify_onnx.py model.onnx recording.wav …

`model.onnx` is a bundle exported to ONNX. Prints a line for every recording: the speaker's name, or "unknown", and the
score of the nearest speaker.
"""

import json
import os
import sys

import numpy as np
import onnxruntime
import soundfile

FALSE_ACCEPTS = 0.01
"""Share of strangers who may be given a name."""


def identify(session: onnxruntime.InferenceSession, path: str) -> tuple[str, float]:
    """Name of the speaker, or "unknown", and the highest score; NaN if the recording is silent."""
    metadata = session.get_modelmeta().custom_metadata_map
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != int(metadata["sample_rate"]):  # resampling needs another package, such as soxr
        sys.exit(f"{path}: found {rate} Hz, expected {metadata['sample_rate']} Hz; convert it with FFmpeg or SoX")
    waveform = samples.mean(1)  # of all channels
    inputs = {"waveforms": waveform[None], "lengths": np.array([len(waveform)])}
    scores, seconds = (np.asarray(answer)[0] for answer in session.run(["scores", "seconds"], inputs))
    names = json.loads(metadata["speakers"])
    best = int(scores.argmax())
    known = is_known(scores, float(seconds), json.loads(metadata["thresholds"]))
    return names[best] if known else "unknown", float(scores[best])


def is_known(scores: np.ndarray, seconds: float, rule: dict) -> bool:
    """Whether the nearest speaker is sufficiently more probable than all others and a stranger."""
    if seconds < rule["shortest"]:
        return False
    duration = np.log(seconds), np.log(rule["seconds"])
    scale, unknown = (np.interp(*duration, rule[name]) for name in ("scale", "unknown"))
    x = scale * (np.sort(scores)[::-1][: rule["ranked"]].astype(float) - unknown)
    log_odds = x[0] - np.logaddexp(np.logaddexp.reduce(x[1:]), 0)
    by_rate = [np.interp(*duration, column) for column in np.transpose(rule["log_odds"])]
    return bool(log_odds >= np.interp(np.log(FALSE_ACCEPTS), np.log(rule["rates"]), by_rate))


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit("usage: identify_onnx.py MODEL.onnx RECORDING…")
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    for path in sys.argv[2:]:
        name, score = identify(session, path)
        print(f"{path}\t{name}\t{score:.3f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:  # the output cannot be written, or its reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python complains again at exit
        sys.exit(1 if isinstance(error, BrokenPipeError) else f"error: {error}")

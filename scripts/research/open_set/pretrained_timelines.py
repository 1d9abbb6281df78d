"""Timelines by Resemblyzer's pretrained encoder (the extra `compare`), with the clustering of `identify --timeline`.

Cells are those of the timeline, a window of 1.6 s around each is embedded, and the windows are clustered as in
`speakerid.recognition.timeline`. The back end is fitted as that of a bundle: whitening, rotation and the distribution
of voice prints to training recordings of the corpus, and the rule that merges voices to pairs of these recordings and
of the corpus's strangers, cut to the durations of a calibration set.

Shapes: N windows or recordings, T frames, M mel bands, D width of an embedding, E of a voice print.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speakerid import Bundle, FeatureConfig, Segment, decode, open_corpus
from speakerid.audio.log_mel import Samples, trim
from speakerid.corpus.utterances import Part
from speakerid.preparation import recordings_table
from speakerid.preparation.sources.recordings import Recording
from speakerid.recognition.calibration_set import DURATIONS, JOINED, CalibrationSet
from speakerid.recognition.diarization import clusters_of
from speakerid.recognition.fitting import fit_verification
from speakerid.recognition.plda import fit_plda, whitening
from speakerid.recognition.stranger_groups import groups_of
from speakerid.recognition.timeline import cells_in, merged

WINDOW = 160
"""Frames of 10 ms in a window, as in Resemblyzer's training."""
BATCH = 64
WIDTH = 192
"""Largest width of a voice print, as in a bundle."""
JOINED_MOST = 4
"""Number of joined recordings of a speaker and duration."""

Array = NDArray[np.floating]


class PretrainedTimelines:
    """Diarizes conversations.

    Args:
        training: recordings to fit the back end to.
        strangers: further recordings to fit the rule to.
        bundle: whose cells are used.
    """

    def __init__(self, training: Sequence[Recording], strangers: Sequence[Recording], bundle: Bundle) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated names of SciPy
            from resemblyzer import VoiceEncoder  # pyright: ignore[reportMissingImports]

        self._encoder = VoiceEncoder("cpu", verbose=False)
        self._bundle = bundle
        sounds = [_speech(one, bundle.features) for one in (*training, *strangers)]
        names = np.array([one.speaker for one in (*training, *strangers)])
        whole = np.stack([self._embedding(sound) for sound in sounds])
        mine = np.arange(len(sounds)) < len(training)
        self._fit(whole[mine], names[mine])
        self._rule = fit_verification(list(self._calibration_sets(sounds, names)), self._plda)

    def __call__(self, waveform: Samples, sample_rate: int) -> list[Segment]:
        """Timeline of (N,) samples, without names."""
        cells: list[tuple[float, float, int]] = []
        prints: list[Array] = []
        seconds: list[float] = []
        mel = self._mel(waveform)
        for piece in cells_in(self._bundle, waveform, sample_rate):
            middles = (np.array(piece.starts) + np.array(piece.ends)) / 2
            windows = self._windows(mel, np.round(middles * 100).astype(np.int64) - WINDOW // 2)
            owners = clusters_of(self._prints(windows), self._plda)
            cells += zip(piece.starts, piece.ends, (len(prints) + owners).tolist(), strict=True)
            for owner in range(owners.max() + 1):
                prints.append(self._prints(windows[owners == owner].mean(0, keepdims=True))[0])
                seconds.append(piece.seconds(owners == owner))
        groups = groups_of(np.stack(prints), np.array(seconds), self._plda, self._rule)
        return merged(Segment(start, end, None, 1.0, 1 + int(groups[owner])) for start, end, owner in cells)

    def _fit(self, embeddings: Array, names: NDArray[np.str_]) -> None:
        labels = np.unique(names, return_inverse=True)[1]
        self._mean = embeddings.mean(0)
        white = whitening(embeddings, labels)
        axes, _ = fit_plda(_unit((embeddings - self._mean) @ white), labels)
        white = white @ axes[:, -WIDTH:]
        axes, self._plda = fit_plda(_unit((embeddings - self._mean) @ white), labels)
        self._whitening = white @ axes

    def _calibration_sets(self, sounds: Sequence[Samples], names: NDArray[np.str_]) -> list[CalibrationSet]:
        """Voice prints of the recordings cut to each duration, and of several of a speaker joined."""
        found = []
        rate = self._bundle.features.sample_rate
        for seconds in DURATIONS:
            size = round(seconds * rate)
            rows = [row for row, sound in enumerate(sounds) if len(sound) >= size]
            cut = [sounds[row][(len(sounds[row]) - size) // 2 :][:size] for row in rows]
            found.append((seconds, cut, names[rows]))
        for seconds in JOINED[1:]:
            size = round(seconds * rate)
            pieces, owners = list[Samples](), list[str]()
            for name in np.unique(names).tolist():
                joined = np.concatenate([sounds[row] for row in np.flatnonzero(names == name).tolist()])
                for start in range(0, min(len(joined) - size, JOINED_MOST * size) + 1, size):
                    pieces.append(joined[start : start + size])
                    owners.append(name)
            found.append((seconds, pieces, np.array(owners)))
        none = np.zeros((0, len(self._plda.between)), np.float32), np.zeros(0, np.int32)
        return [
            CalibrationSet(seconds, self._prints(np.stack([self._embedding(one) for one in some])), owners, *none)
            for seconds, some, owners in found
            if len(set(owners.tolist())) > 1
        ]

    def _mel(self, waveform: Samples) -> NDArray[np.float32]:
        """(T, M) features as Resemblyzer's, 100 a second."""
        from resemblyzer import wav_to_mel_spectrogram  # pyright: ignore[reportMissingImports]
        from resemblyzer.audio import normalize_volume  # pyright: ignore[reportMissingImports]

        return wav_to_mel_spectrogram(normalize_volume(waveform, -30, increase_only=True))

    def _windows(self, mel: NDArray[np.float32], starts: NDArray[np.int64]) -> Array:
        """(N, D) embeddings of windows of (T, M) features."""
        import torch

        if len(mel) < WINDOW:
            mel = np.pad(mel, ((0, WINDOW - len(mel)), (0, 0)))
        starts = np.clip(starts, 0, len(mel) - WINDOW)
        found = []
        with torch.inference_mode():
            for first in range(0, len(starts), BATCH):
                some = np.stack([mel[start : start + WINDOW] for start in starts[first : first + BATCH].tolist()])
                found.append(self._encoder(torch.from_numpy(some)).numpy())
        return np.concatenate(found)

    def _embedding(self, waveform: Samples) -> Array:
        """(D,) mean embedding of windows that overlap by half, as `embed_utterance` computes it."""
        mel = self._mel(waveform)
        starts = np.arange(0, max(1, len(mel) - WINDOW + 1), WINDOW // 2)
        return _unit(self._windows(mel, starts).mean(0, keepdims=True))[0]

    def _prints(self, embeddings: Array) -> NDArray[np.float32]:
        """(N, D) embeddings to (N, E) voice prints."""
        return _unit((_unit(embeddings) - self._mean) @ self._whitening).astype(np.float32)


def corpus_recordings(root: Path, part: Part) -> list[Recording]:
    """Recordings of a part of a corpus."""
    recordings = recordings_table.read(root)
    corpus, _ = open_corpus(root, part)
    return [recordings[one.feature_path] for one in getattr(corpus, part)]


def _speech(recording: Recording, features: FeatureConfig) -> Samples:
    sound = decode(recording.path, recording.start, recording.end, channel=recording.channel)
    return trim(sound.waveform, sound.sample_rate, features)


def _unit(x: Array) -> Array:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)

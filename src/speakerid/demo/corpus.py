"""Demonstration corpus of synthetic voices; every recording session has its own room, microphone and noise."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from speakerid.audio.channel import Channel
from speakerid.audio.decode import write_wav
from speakerid.audio.log_mel import LogMel
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath, atomic_folder
from speakerid.base.parallel import parallel_map
from speakerid.config import FeatureConfig
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.utterances import Corpus, Utterance, Utterances
from speakerid.demo.voices import SAMPLE_RATE, Voice, speak

TRAINING_SESSIONS = 10
SESSIONS = TRAINING_SESSIONS + 2
"""Sessions per speaker: the second to last is for validation, the last for the test."""
UTTERANCES = 4
"""Default number of utterances per session."""
SECONDS = (2.0, 4.0)
"""Shortest and longest utterance, in seconds."""

_VOICE, _CHANNEL, _SPEECH = range(3)  # independent random streams


@dataclass(frozen=True)
class _Session:
    """One job: all utterances of a speaker in one session."""

    speaker: int
    session: int


def write_demo_corpus(
    root: StrPath,
    speakers: int = 40,
    utterances: int = UTTERANCES,
    seed: int = 0,
    workers: int | None = None,
    wav: StrPath | None = None,
) -> Corpus:
    """Write a corpus in HW4 layout whose training, validation and test utterances share no session.

    A speaker's labelled utterances are in session order, so `data.split=session` validates on the last session. An
    utterance depends only on the seed and on its speaker, session and index: adding speakers does not change the
    existing ones, and the number of workers has no effect.

    Args:
        root: folder of the corpus, written completely or not at all.
        speakers: number of speakers, at least 2.
        utterances: number of utterances per speaker in each of the 12 sessions.
        seed: seed of the voices, channels and speech.
        workers: number of processes. Default: one per core.
        wav: folder for the recordings, as `speaker/session/nn.wav`. Default: they are not kept.

    Raises:
        UserError: fewer than two speakers, no utterances, a negative seed, or a folder that exists already.
    """
    if speakers < 2:
        raise UserError(f"speakers: found {speakers}, expected at least 2")
    if utterances < 1:
        raise UserError(f"utterances: found {utterances}, expected at least 1 in each session")
    if seed < 0:
        raise UserError(f"seed: found {seed}, expected 0 or more")
    root = Path(root)
    if wav is not None:
        with atomic_folder(Path(wav)) as wav_folder:
            return _write(root, speakers, utterances, seed, workers, wav_folder)
    return _write(root, speakers, utterances, seed, workers, None)


def _write(root: Path, speakers: int, utterances: int, seed: int, workers: int | None, wav: Path | None) -> Corpus:
    features = FeatureConfig()
    names = [f"demo{speaker:04d}" for speaker in range(speakers)]
    jobs = [_Session(speaker, session) for speaker in range(speakers) for session in range(SESSIONS)]
    with atomic_folder(root) as folder:
        record = partial(_record, names=names, utterances=utterances, seed=seed, folder=folder, wav=wav)
        labelled: list[Utterance] = []
        spoken_in_test: list[Utterance] = []
        for job, spoken in zip(jobs, parallel_map(record, jobs, "Synthesize", "sessions", workers), strict=True):
            (spoken_in_test if job.session == SESSIONS - 1 else labelled).extend(spoken)
        # Sort by hashed file name so that the order of the test data does not reveal the speakers.
        spoken_in_test.sort(key=lambda utterance: utterance.feature_path)
        test = [replace(utterance, session=None) for utterance in spoken_in_test]
        corpus = Corpus(root, features, tuple(names), Utterances.of(labelled, names), Utterances.of(test, names))
        hw4.write(folder, corpus)
    return corpus


def _record(
    job: _Session, *, names: list[str], utterances: int, seed: int, folder: Path, wav: Path | None
) -> list[Utterance]:
    """Write the features of one session."""
    voice = Voice.draw(np.random.default_rng([seed, _VOICE, job.speaker]))
    channel = Channel.draw(np.random.default_rng([seed, _CHANNEL, job.speaker, job.session]))
    name, session = names[job.speaker], f"session{job.session:02d}"
    spoken = []
    for index in range(utterances):
        rng = np.random.default_rng([seed, _SPEECH, job.speaker, job.session, index])
        waveform = channel.apply(speak(voice, rng.uniform(*SECONDS), rng), rng)
        frames = torch.from_numpy(_log_mel()(waveform, SAMPLE_RATE))
        key = hashlib.blake2b(repr((seed, job, index)).encode(), digest_size=16).hexdigest()
        feature_file.save(folder / f"uttr-{key}.pt", frames)
        spoken.append(Utterance(f"uttr-{key}.pt", len(frames), name, session))
        if wav is not None:
            write_wav(wav / name / session / f"{index:02d}.wav", waveform, SAMPLE_RATE)
    return spoken


@lru_cache(maxsize=1)
def _log_mel() -> LogMel:
    return LogMel(FeatureConfig())

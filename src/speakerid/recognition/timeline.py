"""Find out who speaks when in recordings of any length.

A window slides over the sound, and windows of one voice are clustered (`speakerid.recognition.diarization`). Then the
bundle's rule for the total duration of each voice says who it is, or that it is a stranger: a whole voice is easier to
identify than a window. Strangers are numbered over all recordings given together
(`speakerid.recognition.stranger_groups`).

Shapes: N cells, V voices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from speakerid.audio.decode import lag, pieces
from speakerid.audio.log_mel import Samples
from speakerid.audio.resample import resample
from speakerid.base.errors import UserError
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.corrected_turns import honored
from speakerid.recognition.diarization import clusters_of
from speakerid.recognition.identification import answer
from speakerid.recognition.profiles import RANKED
from speakerid.recognition.results import Segment, Voice
from speakerid.recognition.sample_digest import SampleDigest
from speakerid.recognition.stranger_groups import groups_of
from speakerid.recognition.timeline_cells import PAUSE_SECONDS, Cells, cells_of
from speakerid.recognition.voice_encoder import SHORTEST, VoiceEncoder, sound_of
from speakerid.recognition.waveforms import Recording, path_of

VOICE_SECONDS = 60.0
"""Longest duration of a voice that is embedded; a longer voice is represented by evenly spaced cells."""
PIECE_SECONDS = 600.0
"""Duration of the recording that is processed at a time, which bounds the memory. Voices are clustered per piece."""


@dataclass(frozen=True)
class PieceVoice:
    """Voice of one piece of a recording."""

    voice: Voice
    seconds: float
    """Duration of all of its sound, of which the voice has at most `VOICE_SECONDS`."""
    name: str | None
    """None for a stranger."""
    probability: float


@dataclass(frozen=True)
class Speech:
    """Cells of a recording in temporal order, and the voices they are of.

    Attributes:
        digest: digest of the samples, see `Voice.digest`.
        cells: start and end in seconds of N cells, and the index of the voice.
        voices: V voices, in the order of the pieces.
    """

    digest: int
    cells: list[tuple[float, float, int]]
    voices: list[PieceVoice]


def timeline(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recording: Recording,
    sample_rate: int | None = None,
    false_accepts: float | None = None,
) -> list[Segment]:
    """Find out who speaks when; there is no segment where no one does.

    Args:
        bundle: knows the speakers.
        encoder: the bundle's encoder.
        recording: a file, or samples, see `Recognizer.listen`.
        sample_rate: sample rate of samples, in Hz; files have their own.
        false_accepts: share of strangers that may be given a name, and of pairs of two strangers that may be taken for
            one; by default a name is given where it is more probable than a stranger, and two voices are one stranger's
            where that is more probable than two.

    Returns:
        Segments in temporal order, which do not overlap. Times are those of the original: the delay that decoding adds
        is subtracted where it is known, see `speakerid.audio.decode.lag`.

    Raises:
        UserError: the recording cannot be decoded, or samples are not samples or lack their rate.
    """
    return segments_of(bundle, [speech_in(bundle, encoder, recording, sample_rate, false_accepts)], false_accepts)[0]


def speech_in(
    bundle: Bundle,
    encoder: VoiceEncoder,
    recording: Recording,
    sample_rate: int | None = None,
    false_accepts: float | None = None,
) -> Speech:
    """Find the voices in a recording, and the names of those that are known; arguments and errors as for `timeline`."""
    cells, voices = list[tuple[float, float, int]](), list[PieceVoice]()
    digest = SampleDigest(bundle.features.sample_rate)
    for piece in cells_in(bundle, recording, sample_rate, digest):
        owners = clusters_of(encoder.embed(piece.windows), bundle.profiles.plda)
        cells += zip(piece.starts, piece.ends, (len(voices) + owners).tolist(), strict=True)
        for mine in (owners == owner for owner in range(owners.max() + 1)):
            voice = encoder.voice(piece.frames_of(mine, VOICE_SECONDS))
            voices.append(PieceVoice(voice, piece.seconds(mine), *name_of(bundle, voice, false_accepts)))
    return Speech(digest.value, cells, voices)


def cells_in(
    bundle: Bundle, recording: Recording, sample_rate: int | None = None, digest: SampleDigest | None = None
) -> Iterator[Cells]:
    """Yield the cells of each piece of a recording, in the time of the original; pieces without speech are left out.

    Args:
        bundle, recording, sample_rate: see `timeline`.
        digest: is updated with the samples.
    """
    rate, path, began = bundle.features.sample_rate, path_of(recording), 0.0
    try:
        began = -lag(path) if path else 0.0
        for waveform in _pieces_of(recording, sample_rate, rate):
            if digest is not None:
                digest.update(waveform)
            cells = cells_of(waveform, bundle.frontend(), began)
            began += len(waveform) / rate
            if cells.starts:
                yield cells
    except UserError as error:
        if path is None:
            raise
        raise UserError(f"{path}: {error}") from error


def segments_of(
    bundle: Bundle, recordings: Sequence[Speech], false_accepts: float | None = None
) -> list[list[Segment]]:
    """Timelines of recordings, in which strangers are numbered together and corrected turns have their names.

    Args:
        bundle, false_accepts: see `timeline`.
        recordings: speech of each.
    """
    strangers = _strangers(bundle, [one.voices for one in recordings], false_accepts)
    found = [
        honored(_segments(speech, groups), bundle.kept.of_recording(speech.digest))
        for speech, groups in zip(recordings, strangers, strict=True)
    ]
    appeared = dict.fromkeys(s.stranger for s in itertools.chain(*found) if s.stranger is not None)
    numbers = {group: number for number, group in enumerate(appeared, 1)}
    return [
        merged(s if s.stranger is None else replace(s, stranger=numbers[s.stranger]) for s in segments)
        for segments in found
    ]


def merged(segments: Iterable[Segment], pause: float = PAUSE_SECONDS) -> list[Segment]:
    """Merge consecutive segments of the same speaker with less than a pause between them.

    Args:
        segments: in temporal order.
        pause: seconds.
    """
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is None or _who(last) != _who(segment) or segment.start - last.end >= pause:
            result.append(segment)
            continue
        one, other = last.end - last.start, segment.end - segment.start
        probability = (one * last.probability + other * segment.probability) / (one + other)
        result[-1] = replace(last, end=segment.end, probability=probability)
    return result


def _who(segment: Segment) -> tuple[str | None, int | None]:
    return segment.name, segment.stranger


def _strangers(
    bundle: Bundle, recordings: Sequence[Sequence[PieceVoice]], false_accepts: float | None
) -> list[list[int | None]]:
    """Group of each voice of each recording; None for known speakers, and for voices shorter than `SHORTEST`."""
    some = [one for voices in recordings for one in voices if one.name is None and one.seconds >= SHORTEST]
    width = bundle.profiles.centers.shape[-1]
    prints = np.reshape([one.voice.voice_print for one in some], (-1, width))
    seconds = np.array([one.seconds for one in some])
    groups = groups_of(prints, seconds, bundle.profiles.plda, bundle.verification, false_accepts)
    of = {id(one): group for one, group in zip(some, groups.tolist(), strict=True)}
    return [[of.get(id(one)) for one in voices] for voices in recordings]


def _segments(speech: Speech, groups: Sequence[int | None]) -> list[Segment]:
    """A segment for each cell, without what decoding adds before the original."""
    return [
        Segment(max(0.0, start), end, speech.voices[owner].name, speech.voices[owner].probability, groups[owner])
        for start, end, owner in speech.cells
        if end > 0
    ]


def _pieces_of(recording: Recording, sample_rate: int | None, target: int) -> Iterator[Samples]:
    """Yield (N,) samples of the pieces of a recording, at the target rate."""
    path = path_of(recording)
    if path is not None:
        yield from pieces(path, PIECE_SECONDS, target)
        return
    waveform, rate = sound_of(recording, sample_rate)
    if not len(waveform):
        raise UserError("holds no samples")
    waveform = resample(waveform, rate, target)
    size = round(PIECE_SECONDS * target)
    yield from (waveform[start : start + size] for start in range(0, len(waveform), size))


def name_of(bundle: Bundle, voice: Voice, false_accepts: float | None) -> tuple[str | None, float]:
    """Name of a voice, None for a stranger, and its probability."""
    found = answer(bundle, voice, FALSE_ACCEPTS if false_accepts is None else false_accepts, RANKED)
    name, probability = found.ranking[0]
    stranger = max(0.0, 1 - sum(p for _, p in found.ranking))
    known = probability >= stranger if false_accepts is None else found.name is not None
    return (name, probability) if known else (None, stranger)

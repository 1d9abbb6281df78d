"""Enroll speakers, and check whether recordings can be of one new speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.identification import answer, check_encoder
from speakerid.recognition.results import Voice

UNLIKE = 0.01
"""Probability of one speaker (log-odds averaged over the pairs with a recording) below which a recording is doubted.

With 2 to 5 recordings, 1 % of those of one voice are doubted, and at least 89 % of those of several (15 voices,
`few_minutes`).
"""


@dataclass(frozen=True)
class Enrollment:
    """Result of an enrollment.

    Attributes:
        name: name of the speaker.
        added: number of recordings that were added.
        recordings: number of recordings that the speaker now has.
        skipped: a line for each recording that was not added: it has no voice, or was enrolled before.
        warnings: lines of doubt: another name for a known voice, or recordings of several people.
    """

    name: str
    added: int
    recordings: int
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def enroll(bundle: Bundle, name: str, voices: Sequence[Voice], add: bool) -> tuple[Bundle, Enrollment]:
    """Add a speaker to a bundle, or recordings to a speaker.

    Args:
        bundle: remains unchanged.
        name: name of the speaker.
        voices: voices in the recordings.
        add: add to an existing speaker.

    Raises:
        OtherEncoder: a voice was embedded by another encoder than the bundle's.
        UserError: see `Bundle.enrolled`.
    """
    check_encoder(bundle, voices)
    if not voices:
        raise UserError(f"{name}: not enrolled: no recordings")
    profiles = bundle.profiles
    name = profiles.stored_name(name)
    known = profiles.recordings[profiles.index(name)] if add else frozenset()
    new, repeated = _new(voices, known, name)
    if new:
        prints = np.stack([voice.voice_print for voice in new])
        digests = [voice.digest for voice in new if voice.digest is not None]
        warnings = doubts(bundle, name, new)
        bundle = bundle.enrolled(name, prints, digests, add)
    else:
        warnings = []
    clips = bundle.profiles.clips[bundle.profiles.index(name)]
    return bundle, Enrollment(name, len(new), clips, tuple(repeated), tuple(warnings))


def doubts(bundle: Bundle, name: str, voices: Sequence[Voice]) -> list[str]:
    """Reasons why recordings may not be those of one new speaker, by the bundle's own rules.

    Args:
        bundle: bundle before the enrollment.
        name: name that they are enrolled under; it may exist already.
        voices: voices in the recordings.
    """
    labels = [voice.source or f"recording {number}" for number, voice in enumerate(voices, 1)]
    return [*_elsewhere(bundle, name, voices, labels), *_several(bundle, voices, labels)]


def _new(voices: Sequence[Voice], known: frozenset[int], name: str) -> tuple[list[Voice], list[str]]:
    """Voices of new recordings, and a line for each of the others."""
    new, repeated, sources = list[Voice](), list[str](), dict[int, str]()
    for number, voice in enumerate(voices, 1):
        label = voice.source or f"recording {number}"
        if voice.digest is None:
            new.append(voice)
        elif voice.digest in known:
            repeated.append(f"{label}: is a recording of {name!r} already; it counts once")
        elif voice.digest in sources:
            repeated.append(f"{label}: holds the same samples as {sources[voice.digest]}; they count once")
        else:
            sources[voice.digest] = label
            new.append(voice)
    return new, repeated


def _elsewhere(bundle: Bundle, name: str, voices: Sequence[Voice], labels: Sequence[str]) -> list[str]:
    """Warnings about names other than `name` that the recordings have, or that they would be given."""
    found: dict[str, list[str]] = {}
    for voice, label in zip(voices, labels, strict=True):
        owners = [
            other
            for other, digests in zip(bundle.profiles.names, bundle.profiles.recordings, strict=True)
            if voice.digest in digests and other != name
        ]
        said = answer(bundle, voice)
        if owners:
            found.setdefault(owners[0], []).append(f"{label} (the same recording)")
        elif said.name not in (None, name):
            found.setdefault(str(said.name), []).append(f"{label} ({said.probability:.0%})")
    together = answer(bundle, _pooled(voices)).name  # finds more than single recordings
    if together not in (None, name, *found):
        found[str(together)] = ["the recordings taken together"]
    return [
        f"{', '.join(some)}: sound{'s' if len(some) == 1 else ''} like {other!r}, who is in the bundle; two names for "
        f"one voice leave both unnamed: if it is the same person, forget {name!r} and add the recordings to {other!r}: "
        "speakerid enroll --add"
        for other, some in found.items()
    ]


def _pooled(voices: Sequence[Voice]) -> Voice:
    """Mean of several voices, as a voice of their total duration."""
    mean = np.mean([voice.voice_print for voice in voices], axis=0)
    seconds = sum(voice.seconds for voice in voices)
    return Voice(seconds, (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32), voices[0].encoder)


def _several(bundle: Bundle, voices: Sequence[Voice], labels: Sequence[str]) -> list[str]:
    """Warning if the recordings do not sound like one speaker."""
    rule, count = bundle.verification, len(voices)
    if rule is None or count < 2:
        return []
    odds = np.zeros((count, count))
    for one, other in combinations(range(count), 2):
        score = bundle.profiles.plda.score_pairs(voices[one].voice_print, voices[other].voice_print)
        seconds = min(voices[one].seconds, voices[other].seconds)
        odds[one, other] = odds[other, one] = rule.log_odds(np.array([[score]]), seconds)[0, 0]
    mean = odds.sum(1) / (count - 1)
    unlike = [label for label, value in zip(labels, mean, strict=True) if value < np.log(UNLIKE / (1 - UNLIKE))]
    if not unlike:
        return []
    if len(unlike) == count:
        doubt = "do not sound like one speaker"
    else:
        doubt = f"{'does' if len(unlike) == 1 else 'do'} not sound like the speaker of the other recordings"
    return [f"{', '.join(unlike)}: {doubt}; enroll each person under a name of their own"]

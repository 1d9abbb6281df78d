"""Consistency checks on the entries of a corpus in HW4 layout; one line per problem."""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from speakerid.corpus.hw4_json import MAPPING, MAX_SIMILAR, METADATA, Mapping, Metadata
from speakerid.corpus.utterances import COMPANY, Utterance

_REMEDY = f"or delete {MAPPING}: the classes then follow from {METADATA}"


def check_speakers(metadata: Metadata, mapping: Mapping | None) -> list[str]:
    """List the problems of speakers and classes."""
    problems = []
    known = {speaker: entries for speaker, entries in metadata.speakers.items() if not speaker.startswith(COMPANY)}
    if not known:
        problems.append(f"{METADATA}: speakers: none; a classifier needs at least two")
    elif len(known) == 1:
        problems.append(f"{METADATA}: speakers: only one; a classifier needs at least two")
    for speaker, entries in known.items():
        if len(entries) < 2:
            problems.append(
                f"{METADATA}: speakers.{speaker}: {len(entries)} utterance(s); "
                "expected at least 2, one to train and one to validate"
            )
    if mapping:
        problems += _check_mapping(mapping, set(metadata.speakers))
    return problems


def check_utterances(source: str, utterances: Sequence[Utterance], problems: list[str]) -> list[Utterance]:
    """Check utterances and return those whose files may be opened: files inside the corpus, with a printable name.

    Args:
        source: file that lists the utterances, for messages.
        utterances: utterances to check.
        problems: a line is added for each problem.
    """
    inside = []
    for utterance in utterances:
        path = utterance.feature_path
        if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in path):
            problems.append(f"{source}: {path!r:.80}: holds a line break or control character; rename file and entry")
            continue
        if utterance.length < 1:
            problems.append(f"{source}: {path:.80}: empty utterance (mel_len {utterance.length})")
        if path.startswith("/") or ".." in path.split("/"):
            problems.append(f"{source}: {path:.80}: points outside the corpus; expected a file name such as uttr-….pt")
        else:
            inside.append(utterance)
    counts = Counter(posixpath.normpath(utterance.feature_path) for utterance in inside)
    problems += [f"{source}: {path:.80}: duplicate utterance, listed {n} times" for path, n in counts.items() if n > 1]
    known = {utterance.feature_path for utterance in inside}
    for index, utterance in enumerate(inside):
        if utterance.copy_of is not None and utterance.copy_of not in known:
            problems.append(f"{source}: {utterance.feature_path}: copy_of: {utterance.copy_of!r} is not in the corpus")
            inside[index] = replace(utterance, copy_of=None)
    return inside


def _check_mapping(mapping: Mapping, speakers: set[str]) -> list[str]:
    ids = mapping.speaker2id
    problems = [
        *_missing(MAPPING, "speaker2id", sorted(speakers - ids.keys()), METADATA),
        *_missing(METADATA, "speakers", sorted(ids.keys() - speakers), MAPPING),
    ]
    if sorted(ids.values()) != list(range(len(ids))):
        problems.append(f"{MAPPING}: speaker2id: ids are not 0 to {len(ids) - 1}, each once; correct them, {_REMEDY}")
    if mapping.id2speaker != {str(index): speaker for speaker, index in ids.items()}:
        problems.append(f"{MAPPING}: id2speaker: is not the inverse of speaker2id (its keys are ids as text)")
    return problems


def _missing(where: str, section: str, names: Sequence[str], other: str) -> list[str]:
    """Report speakers of `other` that are missing in `where`: one line each, or one for all if there are many."""
    if len(names) <= MAX_SIMILAR:
        return [
            f"{where}: {section}.{name}: missing, but {other} has this speaker; add it, {_REMEDY}" for name in names
        ]
    shown = ", ".join(names[:MAX_SIMILAR])
    return [f"{where}: {section}: {len(names)} speakers of {other} are missing ({shown}, …); add them, {_REMEDY}"]

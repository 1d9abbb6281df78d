"""Find the utterances named in a list of trials, by feature path or by the path of the recording.

Shapes: N utterances.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from speakerid.base.errors import UserError
from speakerid.corpus.utterances import Corpus
from speakerid.preparation import recordings_table

SHOWN = 3
"""Names listed in a message for each problem."""


def rows_of_names(path: Path, names: Iterable[str], corpus: Corpus, utterances: Sequence[str]) -> dict[str, int]:
    """Row of every name.

    A name is the feature path of an utterance or the path of its recording: absolute, or relative to any folder above
    it. The file extension may be missing or different, backslashes count as slashes, and folders may be joined by
    hyphens or underscores, as in Kaldi's utterance ids.

    Args:
        path: the list of trials, for messages.
        names: names in the list; may repeat.
        corpus: the corpus, whose recordings.csv has the paths of the recordings, if it exists.
        utterances: N feature paths.

    Raises:
        UserError: some names are unknown, in another part of the corpus, or match several utterances.
    """
    wanted = dict.fromkeys(names)
    rows = {name.removesuffix(".pt"): row for row, name in enumerate(utterances)}
    found = {name: rows[bare] for name in wanted if (bare := name.removesuffix(".pt")) in rows}
    left = [name for name in wanted if name not in found]
    missing, elsewhere, ambiguous = [], [], []
    matches = _matches(left, corpus.root) if left else {}
    training = {name.removesuffix(".pt") for name in corpus.labelled.names} if left else set()
    for name in left:
        match [utterance.removesuffix(".pt") for utterance in matches[name]]:
            case [] if name.removesuffix(".pt") not in training:
                missing.append(name)
            case [utterance] if utterance in rows:
                found[name] = rows[utterance]
            case [] | [_]:
                elsewhere.append(name)
            case _:
                ambiguous.append(name)
    problems = {
        f"are not in {corpus.root}": missing,
        "are training utterances": elsewhere,
        "match several utterances each": ambiguous,
    }
    _check_problems(path, len(wanted), problems, utterances[0])
    return found


def _matches(names: Sequence[str], root: Path) -> dict[str, set[str]]:
    """Utterances whose recordings each name matches, by its most exact interpretation that matches any."""
    if not (root / recordings_table.NAME).exists():
        return {name: set() for name in names}
    recordings = {name: os.path.abspath(recording.path) for name, recording in recordings_table.read(root).items()}
    top = os.path.commonpath([os.path.dirname(path) for path in recordings.values()]) if recordings else "/"
    keys = {name: _keys(name, top) for name in names}
    wanted = {key for candidates in keys.values() for key in candidates}
    links = any(os.path.isabs(name) for name in names)
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for utterance, recording in recordings.items():
        for key in _names_of(recording, links):
            if key in wanted:
                by_key[key].add(utterance)
    return {
        name: next((by_key[key] for key in candidates if key in by_key), set()) for name, candidates in keys.items()
    }


def _keys(name: str, top: str) -> list[str]:
    """Interpretations of a name as the path of a recording, the most exact first.

    Args:
        name: name in the list.
        top: folder that contains all recordings.
    """
    path = os.path.normpath(name.replace("\\", "/"))
    ways = [path, os.path.realpath(path)] if os.path.isabs(path) else [os.path.join(top, path), path]
    ways += [os.path.abspath(path), _joined(path)]
    return [key for way in dict.fromkeys(ways) for key in (way, _stem(way))]


def _names_of(recording: str, links: bool) -> Iterator[str]:
    """Names of a recording: its path, and its path relative to every folder above it.

    Args:
        recording: absolute path of the recording.
        links: also resolve symbolic links, which takes time.
    """
    ways = {recording, os.path.realpath(recording)} if links else {recording}
    parts = recording.split("/")[1:]
    for start in range(len(parts)):
        path = "/".join(parts[start:])
        ways |= {path, _joined(path)}
    for way in ways:
        yield from {way, _stem(way)}


def _joined(path: str) -> str:
    """Path with its parts joined by hyphens, to compare with names that join them by another character."""
    return "-".join(path.replace("_", "-").split("/"))


def _stem(path: str) -> str:
    """Path without the file extension."""
    return os.path.splitext(path)[0]


def _check_problems(path: Path, total: int, problems: Mapping[str, Sequence[str]], example: str) -> None:
    """Raise an error of one line about the names that cannot be used, if there are any."""
    reasons = []
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            shown = ", ".join(repr(name) for name in names[:SHOWN])
            reasons.append(f"{len(names):,} of {total:,} names {problem}: {shown}{more}")
    if reasons:
        raise UserError(
            f"{path}: {'; '.join(reasons)}; expected test utterances or utterances of strangers, by "
            f"feature path, such as {example!r}, or by path of the recording"
        )

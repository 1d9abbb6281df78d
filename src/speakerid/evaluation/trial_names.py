"""The utterances that a list of trials names: by feature path, or by the recording an utterance was computed from.

Shapes: N utterances.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from speakerid.corpus import recordings_table
from speakerid.corpus.records import Corpus
from speakerid.errors import UserError

SHOWN = 3
"""Names that a message shows of those with one problem."""


def rows_of_names(path: Path, names: Iterable[str], corpus: Corpus, utterances: Sequence[str]) -> dict[str, int]:
    """The row of every name.

    A name is the feature path of an utterance, or the path of its recording: absolute, or relative to any folder above
    it. The file extension may be missing or another one, backslashes are slashes, and folders may be joined by hyphens
    or underscores, as in Kaldi's utterance ids.

    Args:
        path: of the list of trials, for messages.
        names: as the list writes them, repeated or not.
        corpus: its recordings.csv names the recordings, if it has one.
        utterances: N feature paths.

    Raises:
        UserError: names that are not there, are in another part of the corpus or stand for several utterances.
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
        "are of training": elsewhere,
        "stand for several utterances each": ambiguous,
    }
    _refuse(path, len(wanted), problems, utterances[0])
    return found


def _matches(names: Sequence[str], root: Path) -> dict[str, set[str]]:
    """Utterances whose recording each name may stand for: those of the most exact way to read it that finds any."""
    if not (root / recordings_table.NAME).exists():
        return {name: set() for name in names}
    recordings = {name: os.path.abspath(recording.path) for name, recording in recordings_table.read(root).items()}
    top = os.path.commonpath([os.path.dirname(path) for path in recordings.values()]) if recordings else "/"
    keys = {name: _keys(name, top) for name in names}
    wanted = {key for of_one in keys.values() for key in of_one}
    links = any(os.path.isabs(name) for name in names)
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for utterance, recording in recordings.items():
        for key in _endings(recording, links):
            if key in wanted:
                by_key[key].add(utterance)
    return {name: next((by_key[key] for key in of_one if key in by_key), set()) for name, of_one in keys.items()}


def _keys(name: str, top: str) -> list[str]:
    """What a recording may be called by a name, the most exact first.

    Args:
        name: as the list writes it.
        top: folder that holds all recordings.
    """
    path = os.path.normpath(name.replace("\\", "/"))
    ways = [path, os.path.realpath(path)] if os.path.isabs(path) else [os.path.join(top, path), path]
    ways += [os.path.abspath(path), _joined(path)]
    return [key for way in dict.fromkeys(ways) for key in (way, _stem(way))]


def _endings(recording: str, links: bool) -> Iterator[str]:
    """What a recording may be called: its path, and what remains of it below every folder.

    Args:
        recording: its absolute path.
        links: also where it leads if it is a link, which takes time.
    """
    ways = {recording, os.path.realpath(recording)} if links else {recording}
    parts = recording.split("/")[1:]
    for start in range(len(parts)):
        path = "/".join(parts[start:])
        ways |= {path, _joined(path)}
    for way in ways:
        yield from {way, _stem(way)}


def _joined(path: str) -> str:
    """Folders and file in one word, for names that join them by another character."""
    return "-".join(path.replace("_", "-").split("/"))


def _stem(path: str) -> str:
    """Without the extension of the file."""
    return os.path.splitext(path)[0]


def _refuse(path: Path, total: int, problems: Mapping[str, Sequence[str]], example: str) -> None:
    """Say in one line which names cannot be used."""
    said = []
    for problem, names in problems.items():
        if names:
            more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
            shown = ", ".join(repr(name) for name in names[:SHOWN])
            said.append(f"{len(names):,} of {total:,} names {problem}: {shown}{more}")
    if said:
        raise UserError(
            f"{path}: {'; '.join(said)}; expected test utterances or strangers', by their feature paths, such as "
            f"{example!r}, or by the paths of their recordings"
        )

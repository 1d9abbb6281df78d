"""The HW4 layout of the course's three editions: metadata.json, testdata.json, mapping.json and one tensor a file.

Written corpora add what the course's readers skip: a `session` per utterance, `copy_of` for augmented copies,
`features.yaml`, `answers.csv` for test data whose speakers are known, and `strangers.json` for speakers held out whole.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from speakerid.config import FeatureConfig, parse, read_yaml
from speakerid.corpus import answers
from speakerid.corpus.records import Corpus, Utterance, Utterances
from speakerid.errors import UserError, describe
from speakerid.files import atomic_file

METADATA, TESTDATA, MAPPING = "metadata.json", "testdata.json", "mapping.json"
FEATURES, STRANGERS = "features.yaml", "strangers.json"

_Name = Annotated[str, Field(min_length=1)]


class _Entry(BaseModel):
    feature_path: _Name
    mel_len: Annotated[int, Field(strict=True)]
    session: str | None = None
    copy_of: str | None = None


class _Metadata(BaseModel):
    n_mels: Annotated[int, Field(strict=True, ge=1)]
    speakers: dict[_Name, list[_Entry]]


class _Testdata(BaseModel):
    n_mels: Annotated[int, Field(strict=True, ge=1)]
    utterances: list[_Entry]


class _Mapping(BaseModel):
    speaker2id: dict[_Name, Annotated[int, Field(strict=True, ge=0)]]
    id2speaker: dict[str, str]


_Json = TypeVar("_Json", bound=BaseModel)


def read(root: Path, require: Iterable[str] = (METADATA, MAPPING)) -> tuple[Corpus, list[str]]:
    """Everything the JSON files of a corpus say, and every problem in them, one line each.

    `open_corpus` is what most callers want: it raises the problems, and checks the feature files too.

    Args:
        root: the folder.
        require: of metadata.json, mapping.json and testdata.json, the ones that must be there.

    Raises:
        UserError: there is no such folder.
    """
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; expected a corpus in HW4 layout ({METADATA}, {MAPPING}, {TESTDATA}, uttr-*.pt). "
            "`python scripts/prepare.py RECORDINGS FOLDER` makes one from recordings"
        )
    problems: list[str] = []
    required = set(require)
    metadata = _read_json(root / METADATA, _Metadata, METADATA in required, problems)
    mapping = _read_json(root / MAPPING, _Mapping, MAPPING in required, problems)
    testdata = _read_json(root / TESTDATA, _Testdata, TESTDATA in required, problems)
    held_out = _read_json(root / STRANGERS, _Metadata, False, problems)
    if metadata:
        problems += _check_speakers(metadata, mapping)
    for name, other in ((TESTDATA, testdata), (STRANGERS, held_out)):
        if metadata and other and metadata.n_mels != other.n_mels:
            problems.append(f"{name}: n_mels: found {other.n_mels}, but {METADATA} has {metadata.n_mels}")
    labelled = _check_utterances(METADATA, _labelled(metadata), problems)
    test = _check_utterances(
        TESTDATA, [Utterance(e.feature_path, e.mel_len) for e in testdata.utterances] if testdata else [], problems
    )
    strangers = _check_utterances(STRANGERS, _labelled(held_out), problems)
    head = metadata or testdata
    features = _read_features(root, head.n_mels if head else None, problems)
    ids = mapping.speaker2id if mapping else {}
    names = tuple(sorted(ids, key=ids.__getitem__))
    only_copies = {u.speaker for u in labelled if u.copy_of} - {u.speaker for u in labelled if not u.copy_of}
    speakers = tuple(name for name in names if name not in only_copies)
    if names[: len(speakers)] != speakers:
        problems.append(f"{MAPPING}: speaker2id: speakers of whom there are only copies must come last")
    try:
        test = answers.read(root / answers.NAME, test)
    except UserError as error:
        problems.append(str(error))
    return Corpus(
        root,
        features,
        speakers,
        Utterances.of(labelled, names),
        Utterances.of(test, speakers),
        Utterances.of(strangers),
    ), problems


def is_here(root: Path) -> bool:
    """Whether a folder holds any of the layout's JSON files."""
    return any((root / name).exists() for name in (METADATA, TESTDATA, MAPPING))


def remove(root: Path) -> None:
    """Remove the JSON files and the feature files that `write` and `feature_file.save` wrote to a folder, if any."""
    for name in (METADATA, TESTDATA, MAPPING, STRANGERS, answers.NAME):
        (root / name).unlink(missing_ok=True)
    remove_features(root, keep=())


def remove_features(root: Path, keep: Collection[str]) -> None:
    """Remove the feature files of a folder that are not to be kept, and those that were written half."""
    for pattern in ("uttr-*.pt", "uttr-*.partial"):
        for path in root.glob(pattern):
            if path.name not in keep:
                path.unlink()


def write(root: Path, corpus: Corpus) -> None:
    """Write the JSON files of a corpus whose feature files already lie in `root`; metadata.json last."""
    n_mels = corpus.features.n_mels
    write_features_yaml(root, corpus.features)
    mapping = {
        "speaker2id": {speaker: index for index, speaker in enumerate(corpus.labelled.speaker_names)},
        "id2speaker": {str(index): speaker for index, speaker in enumerate(corpus.labelled.speaker_names)},
    }
    _write_json(root / MAPPING, mapping)
    # Of the test data nothing but the answers may tell who speaks.
    hidden = [_entry(Utterance(utterance.feature_path, utterance.length)) for utterance in corpus.test]
    _write_json(root / TESTDATA, {"n_mels": n_mels, "utterances": hidden})
    _write_or_remove(root / STRANGERS, corpus.strangers and _by_speaker(n_mels, corpus.strangers))
    if corpus.answers is None:
        (root / answers.NAME).unlink(missing_ok=True)
    else:
        sessions = [utterance.session for utterance in corpus.test]
        with atomic_file(root / answers.NAME) as partial:
            answers.write(partial, corpus.test, corpus.answers, sessions if any(sessions) else None)
    _write_json(root / METADATA, _by_speaker(n_mels, corpus.labelled))


def write_features_yaml(root: Path, features: FeatureConfig) -> None:
    """Write how the features of a corpus were computed."""
    _write_text(root / FEATURES, yaml.safe_dump(features.model_dump(), sort_keys=False))


def _by_speaker(n_mels: int, utterances: Utterances) -> dict[str, object]:
    entries: dict[str, list[dict[str, object]]] = {}
    for utterance in utterances:
        entries.setdefault(str(utterance.speaker), []).append(_entry(utterance))
    return {"n_mels": n_mels, "speakers": entries}


def _entry(utterance: Utterance) -> dict[str, object]:
    entry: dict[str, object] = {"feature_path": utterance.feature_path, "mel_len": utterance.length}
    if utterance.session is not None:
        entry["session"] = utterance.session
    if utterance.copy_of is not None:
        entry["copy_of"] = utterance.copy_of
    return entry


def _write_or_remove(path: Path, content: object) -> None:
    if content:
        _write_json(path, content)
    else:
        path.unlink(missing_ok=True)


def _write_json(path: Path, content: object) -> None:
    _write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _read_json(path: Path, schema: type[_Json], required: bool, problems: list[str]) -> _Json | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if required:
            problems.append(f"{path.name}: missing; expected beside the feature files")
        return None
    except OSError as error:
        problems.append(f"{path.name}: cannot be read: {error.strerror}")
        return None
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        problems += [f"{path.name}: {field + ': ' if field else ''}{reason}" for field, reason in describe(error)]
        return None


def _labelled(metadata: _Metadata | None) -> list[Utterance]:
    return [
        Utterance(entry.feature_path, entry.mel_len, speaker, entry.session, entry.copy_of)
        for speaker, entries in (metadata.speakers.items() if metadata else ())
        for entry in entries
    ]


def _check_speakers(metadata: _Metadata, mapping: _Mapping | None) -> list[str]:
    problems = []
    if not metadata.speakers:
        problems.append(f"{METADATA}: speakers: none; a classifier needs at least two")
    elif len(metadata.speakers) == 1:
        problems.append(f"{METADATA}: speakers: one only; a classifier needs at least two")
    for speaker, entries in metadata.speakers.items():
        if len(entries) < 2:
            problems.append(
                f"{METADATA}: speakers.{speaker}: {len(entries)} utterance(s); "
                "expected at least 2, one to train and one to validate"
            )
    if mapping:
        problems += _check_mapping(mapping, set(metadata.speakers))
    return problems


def _check_mapping(mapping: _Mapping, speakers: set[str]) -> list[str]:
    ids = mapping.speaker2id
    problems = [
        f"{MAPPING}: speaker2id.{s}: missing, but {METADATA} has this speaker" for s in sorted(speakers - ids.keys())
    ]
    problems += [
        f"{METADATA}: speakers.{s}: missing, but {MAPPING} has this speaker" for s in sorted(ids.keys() - speakers)
    ]
    if sorted(ids.values()) != list(range(len(ids))):
        problems.append(f"{MAPPING}: speaker2id: ids are not 0 to {len(ids) - 1}, each once")
    if mapping.id2speaker != {str(index): speaker for speaker, index in ids.items()}:
        problems.append(f"{MAPPING}: id2speaker: is not the inverse of speaker2id (its keys are ids as text)")
    return problems


def _check_utterances(source: str, utterances: Sequence[Utterance], problems: list[str]) -> list[Utterance]:
    """The utterances whose files may be opened: none outside the corpus."""
    inside = []
    for utterance in utterances:
        path = utterance.feature_path
        if utterance.length < 1:
            problems.append(f"{source}: {path}: empty utterance (mel_len {utterance.length})")
        if path.startswith("/") or ".." in path.split("/") or "\0" in path:
            problems.append(f"{source}: {path}: points outside the corpus; expected a file name such as uttr-….pt")
        else:
            inside.append(utterance)
    counts = Counter(utterance.feature_path for utterance in utterances)
    problems += [f"{source}: {path}: duplicate utterance, listed {n} times" for path, n in counts.items() if n > 1]
    known = {utterance.feature_path for utterance in inside}
    for place, utterance in enumerate(inside):
        if utterance.copy_of is not None and utterance.copy_of not in known:
            problems.append(f"{source}: {utterance.feature_path}: copy_of: {utterance.copy_of!r} is not in the corpus")
            inside[place] = replace(utterance, copy_of=None)
    return inside


def _read_features(root: Path, n_mels: int | None, problems: list[str]) -> FeatureConfig:
    path = root / FEATURES
    if not path.exists():
        return FeatureConfig() if n_mels is None else FeatureConfig(n_mels=n_mels)
    try:
        features = parse(FeatureConfig, read_yaml(path), FEATURES)
    except UserError as error:
        problems.append(str(error))
        return FeatureConfig()
    if n_mels is not None and features.n_mels != n_mels:
        problems.append(f"{FEATURES}: n_mels: found {features.n_mels}, but the JSON files have {n_mels}")
    return features

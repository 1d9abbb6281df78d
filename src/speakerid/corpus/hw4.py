"""HW4 layout: metadata.json, testdata.json, mapping.json and one tensor file per utterance.

This is the data format of homework 4 of Machine Learning at National Taiwan University (Hung-yi Lee), editions 2021 to
2023. Corpora written here have additions that HW4 code ignores: `session` and, for augmented copies, `copy_of` per
utterance, `features.yaml`, `answers.csv` if the speakers of the test data are known, and `strangers.json` for speakers
held out entirely. Company, people whose recordings are only for training, are speakers of metadata.json called
`company/...`.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import yaml

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file
from speakerid.config import FeatureConfig, parse, read_yaml
from speakerid.corpus import answers
from speakerid.corpus.hw4_checks import check_speakers, check_utterances
from speakerid.corpus.hw4_json import MAPPING, METADATA, STRANGERS, TESTDATA, Mapping, Metadata, Testdata, read_json
from speakerid.corpus.locate import note
from speakerid.corpus.utterances import COMPANY, Corpus, Utterance, Utterances

FEATURES = "features.yaml"
JSON = (METADATA, TESTDATA, MAPPING, STRANGERS)


def read(root: Path, require: Iterable[str] = (METADATA,)) -> tuple[Corpus, list[str]]:
    """Read the JSON files of a corpus; return the corpus and its problems, one line each.

    Most callers want `open_corpus`, which raises the problems and also checks the feature files.

    Without mapping.json the classes are the speakers of metadata.json in alphabetical order; a note reports this.

    Args:
        root: folder of the corpus.
        require: files that must exist, of metadata.json and testdata.json.

    Raises:
        UserError: the folder does not exist.
    """
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; expected a corpus: what `speakerid prepare RECORDINGS FOLDER` writes, "
            f"or HW4 files ({METADATA}, {MAPPING}, {TESTDATA}, uttr-*.pt)"
        )
    problems: list[str] = []
    metadata, mapping, testdata, held_out = _read_files(root, set(require), problems)
    labelled = check_utterances(METADATA, _labelled(metadata), problems)
    test = check_utterances(
        TESTDATA, [Utterance(e.feature_path, e.mel_len) for e in testdata.utterances] if testdata else [], problems
    )
    strangers = check_utterances(STRANGERS, _labelled(held_out), problems)
    head = metadata or testdata
    features = _read_features(root, head.n_mels if head else None, problems)
    extra = _extra_classes(labelled)
    names = _classes(root, metadata, mapping, extra)
    speakers = tuple(name for name in names if name not in extra)
    if names[: len(speakers)] != speakers:
        problems.append(
            f"{MAPPING}: speaker2id: speakers with augmented copies only, and company ({COMPANY}...), must come last"
        )
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


def _read_files(
    root: Path, required: Collection[str], problems: list[str]
) -> tuple[Metadata | None, Mapping | None, Testdata | None, Metadata | None]:
    """Read metadata.json, mapping.json, testdata.json and strangers.json, and check that they agree."""
    metadata = read_json(root / METADATA, Metadata, METADATA in required, problems)
    mapping = read_json(root / MAPPING, Mapping, False, problems)
    testdata = read_json(root / TESTDATA, Testdata, TESTDATA in required, problems)
    held_out = read_json(root / STRANGERS, Metadata, False, problems)
    if metadata:
        problems += check_speakers(metadata, mapping)
    for name, other in ((TESTDATA, testdata), (STRANGERS, held_out)):
        if metadata and other and metadata.n_mels != other.n_mels:
            problems.append(f"{name}: n_mels: found {other.n_mels}, but {METADATA} has {metadata.n_mels}")
    return metadata, mapping, testdata, held_out


def _extra_classes(labelled: Sequence[Utterance]) -> set[str | None]:
    """Classes that are never predicted: speakers with augmented copies only, and company."""
    only_copies = {u.speaker for u in labelled if u.copy_of} - {u.speaker for u in labelled if not u.copy_of}
    return only_copies | {u.speaker for u in labelled if str(u.speaker).startswith(COMPANY)}


def has_corpus(root: Path) -> bool:
    """Whether a folder has metadata.json, testdata.json or mapping.json."""
    return any((root / name).exists() for name in (METADATA, TESTDATA, MAPPING))


def remove(root: Path) -> None:
    """Remove the JSON, answer and feature files from a folder, if any."""
    for name in (*JSON, answers.NAME):
        (root / name).unlink(missing_ok=True)
    remove_features(root, keep=())


def remove_features(root: Path, keep: Collection[str]) -> None:
    """Remove the feature files of a folder, including partially written ones, except those in `keep`."""
    for pattern in ("uttr-*.pt", "uttr-*.partial"):
        for path in root.glob(pattern):
            if path.name not in keep:
                path.unlink()


def write(root: Path, corpus: Corpus) -> None:
    """Write the JSON files of a corpus whose feature files are already in `root`; metadata.json last."""
    n_mels = corpus.features.n_mels
    write_features_yaml(root, corpus.features)
    mapping = {
        "speaker2id": {speaker: index for index, speaker in enumerate(corpus.labelled.speaker_names)},
        "id2speaker": {str(index): speaker for index, speaker in enumerate(corpus.labelled.speaker_names)},
    }
    _write_json(root / MAPPING, mapping)
    # Only answers.csv may reveal the speakers of the test data.
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
    """Write the feature settings of a corpus."""
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


def _classes(root: Path, metadata: Metadata | None, mapping: Mapping | None, last: set[str | None]) -> tuple[str, ...]:
    """Class names in order: that of mapping.json, else alphabetical with those of `last` at the end."""
    if mapping:
        return tuple(sorted(mapping.speaker2id, key=mapping.speaker2id.__getitem__))
    if not metadata or (root / MAPPING).exists():
        return ()
    note(f"{root}: without {MAPPING}; classes are the speakers of {METADATA} in alphabetical order")
    return tuple(sorted(metadata.speakers, key=lambda name: (name in last, name)))


def _labelled(metadata: Metadata | None) -> list[Utterance]:
    return [
        Utterance(entry.feature_path, entry.mel_len, speaker, entry.session, entry.copy_of)
        for speaker, entries in (metadata.speakers.items() if metadata else ())
        for entry in entries
    ]


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

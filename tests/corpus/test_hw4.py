import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpora import edited, write_corpus, write_json
from speakerid.base.errors import UserError
from speakerid.config import FeatureConfig
from speakerid.corpus import feature_file, hw4
from speakerid.corpus.check import check_corpus, open_corpus
from speakerid.corpus.utterances import Corpus, Utterance, Utterances


def test_hw4_data_is_read_unchanged(tmp_path: Path) -> None:
    # As in the three editions: mapping.json has another order of speakers, and there are no other files.
    write_json(
        tmp_path / "metadata.json",
        {
            "n_mels": 40,
            "speakers": {
                "id03074": [
                    {"feature_path": "uttr-a.pt", "mel_len": 435},
                    {"feature_path": "uttr-b.pt", "mel_len": 91},
                ],
                "id00464": [{"feature_path": "uttr-c.pt", "mel_len": 541}, {"feature_path": "uttr-d.pt", "mel_len": 7}],
            },
        },
    )
    write_json(
        tmp_path / "mapping.json",
        {"speaker2id": {"id00464": 0, "id03074": 1}, "id2speaker": {"0": "id00464", "1": "id03074"}},
    )
    write_json(
        tmp_path / "testdata.json",
        {
            "n_mels": 40,
            "utterances": [{"feature_path": "uttr-z.pt", "mel_len": 813}, {"feature_path": "uttr-y.pt", "mel_len": 9}],
        },
    )
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert corpus == Corpus(
        tmp_path,
        FeatureConfig(n_mels=40),
        ("id00464", "id03074"),
        Utterances.of(
            [
                Utterance("uttr-a.pt", 435, "id03074"),
                Utterance("uttr-b.pt", 91, "id03074"),
                Utterance("uttr-c.pt", 541, "id00464"),
                Utterance("uttr-d.pt", 7, "id00464"),
            ],
            ("id00464", "id03074"),
        ),
        Utterances.of([Utterance("uttr-z.pt", 813), Utterance("uttr-y.pt", 9)], ("id00464", "id03074")),
    )
    assert corpus.answers is None
    assert corpus.labelled.speakers.tolist() == [1, 1, 0, 0]


def test_classes_are_those_of_the_mapping(tmp_path: Path) -> None:
    speakers = [f"id{10_000 + 37 * index % 600}" for index in range(600)]
    metadata = {s: [{"feature_path": f"uttr-{s}{n}.pt", "mel_len": 5} for n in range(2)] for s in speakers}
    ids = {speaker: (7 * index + 3) % 600 for index, speaker in enumerate(sorted(speakers))}
    write_json(tmp_path / "metadata.json", {"n_mels": 40, "speakers": metadata})
    write_json(
        tmp_path / "mapping.json", {"speaker2id": ids, "id2speaker": {str(ids[speaker]): speaker for speaker in ids}}
    )
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert corpus.labelled.speakers.tolist() == [ids[speaker] for speaker in speakers for _ in range(2)]
    assert [corpus.speakers[ids[speaker]] for speaker in speakers] == speakers


def test_without_mapping_the_classes_are_in_alphabetical_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus(tmp_path)
    (tmp_path / "mapping.json").unlink()
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert corpus.speakers == ("id00464", "id03074", "id10270")
    hw4.read(tmp_path)  # said once
    assert capsys.readouterr().err == (
        f"{tmp_path}: without mapping.json; classes are the speakers of metadata.json in alphabetical order\n"
    )


def test_without_mapping_speakers_with_only_copies_come_last(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with edited(tmp_path / "metadata.json") as metadata:
        origin = metadata["speakers"]["id03074"][0]["feature_path"]
        for entry in metadata["speakers"]["id00464"]:
            entry["copy_of"] = origin
    (tmp_path / "mapping.json").unlink()
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert corpus.speakers == ("id03074", "id10270")
    assert corpus.labelled.speaker_names == ("id03074", "id10270", "id00464")


@pytest.mark.parametrize("kept", [1, 4])
def test_many_missing_speakers_are_one_line(tmp_path: Path, kept: int) -> None:
    names = [f"id{n:05}" for n in range(600)]
    write_corpus(tmp_path, names[: kept + 1], utterances=2)
    ids = {name: index for index, name in enumerate(names)}
    write_json(tmp_path / "mapping.json", {"speaker2id": ids, "id2speaker": {str(i): n for n, i in ids.items()}})
    (line,) = hw4.read(tmp_path)[1]
    assert line == (
        f"metadata.json: speakers: {599 - kept} speakers of mapping.json are missing ({names[kept + 1]}, "
        f"{names[kept + 2]}, {names[kept + 3]}, …); add them, or delete mapping.json: the classes then follow from "
        "metadata.json"
    )


def test_swapped_sections_of_the_mapping_are_reported(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    with edited(tmp_path / "mapping.json") as mapping:
        mapping["speaker2id"], mapping["id2speaker"] = mapping["id2speaker"], mapping["speaker2id"]
    assert hw4.read(tmp_path)[1] == ["mapping.json: speaker2id and id2speaker are swapped; exchange their names"]


@pytest.mark.parametrize("inside", ["Dataset", "Dataset/Dataset"])
def test_archive_unpacked_too_deep_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], inside: str) -> None:
    write_corpus(tmp_path / "data" / inside, test=2)
    assert open_corpus(tmp_path / "data", quiet=True)[0].root == tmp_path / "data" / inside
    assert check_corpus(tmp_path / "data").root == tmp_path / "data" / inside
    assert capsys.readouterr().err.startswith(
        f"{tmp_path / 'data'}: reading the corpus in {tmp_path / 'data' / inside}\n"
    )


def test_several_corpora_inside_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write_corpus(tmp_path / name)
    with pytest.raises(UserError, match="holds several corpora, including a and b; give one of them"):
        open_corpus(tmp_path)


def test_unknown_keys_are_ignored(tmp_path: Path) -> None:
    write_corpus(tmp_path, test=2)
    plain, _ = hw4.read(tmp_path)
    with edited(tmp_path / "metadata.json") as metadata:
        metadata["version"] = "2023"
        metadata["speakers"]["id03074"][0]["gender"] = {"guess": None}
    with edited(tmp_path / "testdata.json") as testdata:
        testdata["utterances"][1]["noise"] = 3
    with edited(tmp_path / "mapping.json") as mapping:
        mapping["comment"] = ["mine"]
    assert hw4.read(tmp_path) == (plain, [])


def test_sessions_are_read_and_those_of_test_data_are_not(tmp_path: Path) -> None:
    write_corpus(tmp_path, utterances=4, test=1, sessions=2)
    with edited(tmp_path / "testdata.json") as testdata:
        testdata["utterances"][0]["session"] = "a hint of the speaker"
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert [utterance.session for utterance in corpus.labelled[:4]] == ["session 0"] * 2 + ["session 1"] * 2
    assert corpus.test[0].session is None


def test_training_needs_no_test_data(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    corpus, store = open_corpus(tmp_path)
    assert len(corpus.test) == 0
    assert len(store) == len(corpus.labelled) == 9


def test_inference_needs_only_test_data(tmp_path: Path) -> None:
    features = write_corpus(tmp_path, test=4)
    for name in ("metadata.json", "mapping.json"):
        (tmp_path / name).unlink()
    for path in list(features)[:9]:
        (tmp_path / path).unlink()
    corpus, store = open_corpus(tmp_path, "test")
    assert corpus.features.n_mels == 4
    assert [utterance.feature_path for utterance in corpus.test] == list(features)[9:]
    for index, expected in enumerate(list(features.values())[9:]):
        assert torch.equal(store.utterance(index), expected)


def test_check_reads_both_parts(tmp_path: Path) -> None:
    features = write_corpus(tmp_path, test=2)
    assert check_corpus(tmp_path) == hw4.read(tmp_path)[0]
    (tmp_path / list(features)[-1]).unlink()
    with pytest.raises(UserError, match="the file is missing"):
        check_corpus(tmp_path)


def test_feature_settings_of_the_corpus_are_read(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert hw4.read(tmp_path)[0].features == FeatureConfig(n_mels=4)
    (tmp_path / "features.yaml").write_text("{n_mels: 4, hop_length: 200, equalise: false}")
    assert hw4.read(tmp_path)[0].features == FeatureConfig(n_mels=4, hop_length=200)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            "{n_mels: 4, equalise: true}",
            "features.yaml: equalise: found True: expected false, since equalized features need all "
            "recordings of a speaker; prepare without it",
        ),
        ("n_mels: 5", "features.yaml: n_mels: found 5, but the JSON files have 4"),
        ("{n_mels: 4, hop_lenght: 160}", "features.yaml: hop_lenght: unknown setting; did you mean 'hop_length'?"),
        ("{n_mels: 4, level: loud}", "features.yaml: level: found 'loud': "),
        ("- 4", "features.yaml: found list, expected settings"),
        ("{", "features.yaml: not valid YAML"),
    ],
)
def test_wrong_feature_settings_are_reported(tmp_path: Path, content: str, problem: str) -> None:
    write_corpus(tmp_path)
    (tmp_path / "features.yaml").write_text(content)
    _, problems = hw4.read(tmp_path)
    assert len(problems) == 1
    assert problem in problems[0]
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "Id,Category\n",
        "Id,Category\nuttr-{1},ann\nuttr-{0},ann\n",
        "Category,Id\n{0},ann\n{1},ann\n",
        "Id,Category\n{0},ann\n{1},ann,bob\n",
        "Id,Category\n{0},ann\n{1}\n",
        "Id,Category,Session\n{0},ann,day\n{1},ann\n",
        "Id,Category\n\n{0},ann\n{1},ann\n",
        "Id,Category\n{0},ann\n{1},\xff\n",
    ],
)
def test_answers_of_other_test_data_are_reported(tmp_path: Path, content: str) -> None:
    paths = list(write_corpus(tmp_path, test=2))[-2:]
    (tmp_path / "answers.csv").write_bytes(content.format(*paths).encode("latin-1"))
    corpus, problems = hw4.read(tmp_path)
    assert corpus.answers is None
    assert problems == [
        "answers.csv: expected the header Id,Category or Id,Category,Session and one row per utterance of "
        "testdata.json, in its order"
    ]


def test_answers_are_read_in_the_hw4_format(tmp_path: Path) -> None:
    paths = list(write_corpus(tmp_path, test=2))[-2:]
    (tmp_path / "answers.csv").write_text(f"Id,Category\r\n{paths[0]},id03074\r\n{paths[1]},id00464\r\n")
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert corpus.answers == ("id03074", "id00464")


def test_sessions_of_test_utterances_are_in_the_answers(tmp_path: Path) -> None:
    paths = list(write_corpus(tmp_path, test=2))[-2:]
    (tmp_path / "answers.csv").write_text(f"Id,Category,Session\n{paths[0]},id03074,\n{paths[1]},id00464,day 2\n")
    corpus, problems = hw4.read(tmp_path)
    assert problems == []
    assert [(one.speaker, one.session) for one in corpus.test] == [("id03074", None), ("id00464", "day 2")]


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
    speakers = draw(st.lists(name, min_size=2, max_size=4, unique=True))
    paths = (f"uttr-{number}.pt" for number in range(100))
    lengths, sessions = st.integers(1, 10_000), st.none() | name

    def spoken(speaker: str, copies: bool) -> list[Utterance]:
        rows = [Utterance(next(paths), draw(lengths), speaker, draw(sessions)) for _ in range(draw(st.integers(2, 3)))]
        if copies and draw(st.booleans()):
            rows.append(Utterance(next(paths), draw(lengths), speaker, rows[0].session, rows[0].feature_path))
        return rows

    labelled = [row for speaker in speakers for row in spoken(speaker, copies=True)]
    answered = draw(st.booleans())
    labels = (lambda: (draw(name), draw(sessions))) if answered else (lambda: (None, None))
    test = [Utterance(next(paths), draw(lengths), *labels()) for _ in range(draw(st.integers(0, 3)))]
    strangers = [row for stranger in draw(st.lists(name, max_size=2, unique=True)) for row in spoken(stranger, False)]
    features = FeatureConfig(
        n_mels=draw(st.integers(1, 200)),
        hop_length=draw(st.integers(1, 1_000)),
        f_min=draw(st.floats(0, 1e4)),
        floor=draw(st.floats(1e-30, 1.0)),
        level=draw(st.floats(-90, 0)),
        trim_silence=draw(st.booleans()),
    )
    return Corpus(
        Path(),
        features,
        tuple(speakers),
        Utterances.of(draw(st.permutations(labelled)), speakers),
        Utterances.of(test, speakers),
        Utterances.of(strangers),
    )


@settings(deadline=None, max_examples=25)
@given(corpora())
def test_written_corpus_is_read_back(corpus: Corpus) -> None:
    order = list(dict.fromkeys(utterance.speaker for utterance in corpus.labelled))
    by_speaker = sorted(corpus.labelled, key=lambda utterance: order.index(utterance.speaker))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        hw4.write(root, corpus)
        assert hw4.read(root) == (
            replace(corpus, root=root, labelled=Utterances.of(by_speaker, corpus.speakers)),
            [],
        )


def test_written_corpus_has_the_hw4_format(tmp_path: Path) -> None:
    speakers = ("Zoë", "ann")
    labelled = Utterances.of([Utterance(f"uttr-{n}.pt", 5 + n, speakers[n % 2]) for n in range(4)], speakers)
    test = Utterances.of([Utterance("t.pt", 7, "ann")], speakers)
    hw4.write(tmp_path, Corpus(tmp_path, FeatureConfig(), speakers, labelled, test))
    contents = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert json.loads(contents["metadata.json"]) == {
        "n_mels": 40,
        "speakers": {
            "Zoë": [{"feature_path": "uttr-0.pt", "mel_len": 5}, {"feature_path": "uttr-2.pt", "mel_len": 7}],
            "ann": [{"feature_path": "uttr-1.pt", "mel_len": 6}, {"feature_path": "uttr-3.pt", "mel_len": 8}],
        },
    }
    assert json.loads(contents["mapping.json"]) == {
        "speaker2id": {"Zoë": 0, "ann": 1},
        "id2speaker": {"0": "Zoë", "1": "ann"},
    }
    assert json.loads(contents["testdata.json"]) == {
        "n_mels": 40,
        "utterances": [{"feature_path": "t.pt", "mel_len": 7}],
    }
    assert contents["answers.csv"] == "Id,Category\nt.pt,ann\n"


def test_features_are_written_without_the_rest_of_their_storage(tmp_path: Path) -> None:
    everything = torch.randn(10_000, 4)
    feature_file.save(tmp_path / "uttr.pt", everything[10:15])
    assert (tmp_path / "uttr.pt").stat().st_size < 4_000
    assert torch.equal(torch.load(tmp_path / "uttr.pt", weights_only=True), everything[10:15])
    assert torch.equal(feature_file.load(tmp_path / "uttr.pt", 5, 4), everything[10:15])

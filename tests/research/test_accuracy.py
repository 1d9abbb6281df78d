"""Time to an accuracy: its curves and tables, the training of a recipe, and the whole command in a tiny size."""

import re
import shutil
from math import sqrt
from pathlib import Path

import pytest

from benchmarks.accuracy import EARLIER, NOT_REACHED, Curve, time_to, times_table
from benchmarks.recipe import Job, run, settings_of
from benchmarks.revisions import write_format_1
from corpora import write_recording
from experiments import answer_of_script, write_easy_corpus
from speakerid.corpus.check import open_corpus
from speakerid.corpus.store import read_store
from speakerid.corpus.utterances import PACKED

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "research" / "benchmark.py"
AGAINST = ("--against", "HEAD")


def test_the_time_to_an_accuracy_is_interpolated_in_the_logarithm_of_the_time() -> None:
    assert time_to(50, [1, 4, 16], [0, 100, 100]) == pytest.approx(2)
    assert time_to(75, [1, 4], [0, 100]) == pytest.approx(2 * sqrt(2))
    assert time_to(100, [1, 4, 16], [0, 50, 100]) == pytest.approx(16)


def test_an_accuracy_that_falls_below_the_target_again_does_not_count() -> None:
    assert time_to(50, [1, 2, 4, 16], [0, 60, 0, 100]) == pytest.approx(8)


def test_nothing_is_extrapolated() -> None:
    assert time_to(90, [1, 2, 4], [50, 95, 89]) == NOT_REACHED
    assert time_to(90, [1, 2], [91, 95]) == EARLIER


def test_ratios_are_of_seeds_that_reach_the_target_in_both_builds() -> None:
    earlier = Curve([[1, 1, 1], [16, 16, 16]], [[0, 0, 0], [100, 100, 40]])
    ours = Curve([[1, 1, 1], [4, 8, 4]], [[0, 0, 0], [100, 100, 100]])
    last = times_table({"earlier": earlier, "ours": ours}, 50, [5, 6, 7]).splitlines()[-1]
    assert re.fullmatch(r"\| ours / earlier \| [\d.]+ \(0.50 to 0.71, of 2 of 3 seeds\) \| 0.50 \| 0.71 \| – \|", last)
    never = Curve([[1, 1, 1], [4, 8, 4]], [[0, 0, 0], [10, 10, 10]])
    table = times_table({"earlier": earlier, "ours": never}, 50, [5, 6, 7]).splitlines()
    assert table[-2].count(NOT_REACHED) == 4
    assert table[-1] == "| ours / earlier | – | – | – | – |"


def test_a_recipe_is_trained_and_tested(tmp_path: Path) -> None:
    root = write_easy_corpus(tmp_path / "corpus")
    overrides = [f"run_dir={tmp_path / 'run'}", f"data.root={root}", "device=cpu", "train.total_steps=16"]
    few = ["data.valid_fraction=0.25", "train.warmup_steps=1", "train.crop_frames=16", "train.batch_size=6"]
    known = ["data.folds=0", "data.no_such_setting=3", "train.channel_augment={}"]
    job = Job("few_minutes", str(root), 16, overrides, known, few)
    answer = run(job)
    assert answer["seconds"] > 0
    assert len(answer["predicted"]) == 7
    assert settings_of(job).data.folds == 0


def test_a_recipe_has_its_own_share_of_warm_up() -> None:
    overrides = ["train.total_steps=80", "train.warmup_steps=3"]
    assert settings_of(Job("few_minutes", "", 80, overrides, [], [])).train.warmup_steps == 10
    assert settings_of(Job("few_minutes", "", 80, overrides, [], ["train.warmup_steps=7"])).train.warmup_steps == 7


def test_a_corpus_in_the_first_format_has_the_same_frames(tmp_path: Path) -> None:
    root = write_easy_corpus(tmp_path / "corpus")
    corpus, store = open_corpus(root)  # packs it
    packed = tmp_path / "packed corpus"
    shutil.copytree(root / PACKED, packed / PACKED)
    copy = write_format_1(packed, tmp_path / "copy")
    assert read_store(copy / PACKED, "labelled").head.format == "speakerid store 1"
    other, other_store = open_corpus(copy)
    assert list(other.labelled) == list(corpus.labelled)
    assert (other_store.frames == store.frames).all()


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (["--corpora", "voices"], "voices"),
        (["--settings", "train.no_such_setting=1"], "no_such_setting"),
        (["--against", "no-such-revision"], "no-such-revision"),
        (["--shares", "2"], "'2'"),
        (["--target", "100"], "'100'"),
    ],
)
def test_bad_options_are_answered_by_one_line(
    bad: list[str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["accuracy", tmp_path / "recordings", tmp_path / "out", *AGAINST, *bad]
    assert answer_of_script(monkeypatch, SCRIPT, *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert found in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.nightly
def test_finished_runs_are_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for speaker in ("anna", "ben", "cleo"):
        for number in range(10):
            write_recording(tmp_path / "recordings" / speaker / f"{number}.wav", 0.4 + 0.02 * number)
    few = ["--corpora", "voices-all-equalized", "--steps", 6, "--shares", 0.5, "--seeds", 0]
    arguments = ["accuracy", tmp_path / "recordings", tmp_path / "out", *AGAINST, *few]
    assert answer_of_script(monkeypatch, SCRIPT, *arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("### voices-all-equalized")
    assert first.count("| earlier | 3 |") == first.count("| ours | 3 |") == 1
    assert "Pairs of runs in turn: 1 of 1" in first
    assert answer_of_script(monkeypatch, SCRIPT, *arguments) == 0
    assert capsys.readouterr().out == first
    assert not list((tmp_path / "out").rglob("*.pt"))

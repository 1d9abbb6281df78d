"""Names, strangers, and recordings without a voice."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

import speakerid
from recognition.bundles import Trained
from speakerid.audio.decode import decode, write_wav
from speakerid.base.errors import UserError
from speakerid.corpus.check import open_corpus
from speakerid.nn.classifier import SpeakerClassifier
from speakerid.recognition import profiles
from speakerid.recognition import voice_encoder as module
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.centers import even_clips
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.results import Unheard
from speakerid.recognition.voice_encoder import VoiceEncoder


@pytest.fixture
def recognizer(trained: Trained) -> Recognizer:
    return Recognizer(trained.bundle)


def test_the_voice_in_a_recording_is_the_one_the_corpus_has_of_it(trained: Trained, recognizer: Recognizer) -> None:
    corpus, store = open_corpus(trained.corpus, "labelled")
    embedder = trained.bundle.embedder()
    speaker = corpus.speakers[0]
    rows = [row for row, utterance in enumerate(corpus.labelled) if utterance.speaker == speaker]
    prints = embedder.embed(store, rows)
    for clip in trained.clips(speaker)[:3]:
        mine = recognizer.listen(clip).voice_print
        assert (prints @ mine).max() > 0.999  # the store is rounded


def test_known_speakers_are_named_by_probability(trained: Trained, recognizer: Recognizer) -> None:
    answers = [
        (name, recognizer.identify(clip, false_accepts=0.5)) for name in recognizer.speakers
        for clip in trained.clips(name)
    ]  # fmt: skip
    right = [answer.ranking[0][0] == name for name, answer in answers]
    assert np.mean(right) > 0.7  # guessing: 1 in 6
    for _, answer in answers:
        probabilities = [probability for _, probability in answer.ranking]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1 + 1e-9
        assert (answer.name is not None) == (probabilities[0] >= answer.threshold)
        assert answer.said == ("unknown" if answer.name is None else "known")


def test_a_smaller_rate_of_false_accepts_names_fewer(trained: Trained, recognizer: Recognizer) -> None:
    clips = [clip for name in (*recognizer.speakers, trained.stranger) for clip in trained.clips(name)]
    named = [{clip for clip in clips if recognizer.identify(clip, None, rate).name} for rate in (0.001, 0.05, 0.5)]
    assert named[0] <= named[1] <= named[2]
    assert len(named[0]) < len(named[2])


def test_one_rule_for_trained_and_enrolled(trained: Trained) -> None:
    recognizer = Recognizer(trained.bundle)
    clips = trained.clips(trained.stranger)
    enrollment = recognizer.enroll("Zoe", clips[::2])
    assert (enrollment.added, enrollment.skipped) == (len(clips[::2]), ())
    ranks = [[name for name, _ in recognizer.identify(clip, top=7).ranking].index("Zoe") for clip in clips]
    assert np.mean(np.array(ranks[::2]) == 0) > 0.5  # guessing: 1 in 7
    assert np.mean(np.array(ranks[1::2]) < 3) > 0.5  # guessing: 3 in 7


def test_the_bundle_on_the_disk_learns_forgets_and_renames(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "speaker.safetensors"
    path.write_bytes(trained.path.read_bytes())
    recognizer = Recognizer.load(path)
    recognizer.enroll("Zoe", trained.clips(trained.stranger)[:1])
    assert Recognizer.load(path).speakers == (*trained.bundle.profiles.names, "Zoe")
    recognizer.rename("Zoe", "Zoë")
    recognizer.forget(trained.bundle.profiles.names[0])
    assert Recognizer.load(path).speakers == (*trained.bundle.profiles.names[1:], "Zoë") == recognizer.speakers


def test_verification_tells_one_voice_from_two(trained: Trained, recognizer: Recognizer) -> None:
    first, second = (trained.clips(name) for name in recognizer.speakers[:2])
    itself = recognizer.verify(first[0], first[0])
    assert itself.same
    same, different = ([recognizer.verify(first[0], clip) for clip in clips[1:6]] for clips in (first, second))
    assert itself.score > np.mean([one.score for one in same]) > np.mean([one.score for one in different])
    for one, clip in zip(different, second[1:6], strict=True):
        assert (one.score < itself.score) == (one.probability < itself.probability)
        assert astuple(recognizer.verify(clip, first[0])) == pytest.approx(astuple(one))


def test_what_is_no_voice_gets_an_answer_of_its_own(trained: Trained, recognizer: Recognizer, tmp_path: Path) -> None:
    sound = decode(trained.clips(recognizer.speakers[0])[0])
    silence, short, broken = tmp_path / "silence.wav", tmp_path / "short.wav", tmp_path / "broken.wav"
    write_wav(silence, np.zeros(32_000, np.float32), 16_000)
    write_wav(short, sound.waveform[8000:12_000], sound.sample_rate)
    broken.write_bytes(b"RIFF nothing")
    for path, said in ((silence, "silent"), (short, "too short"), (broken, "broken"), (tmp_path / "no.wav", "broken")):
        answer = recognizer.identify(path)
        assert (answer.said, answer.name, answer.ranking) == (said, None, ())
        assert answer.reason
        with pytest.raises(Unheard):
            recognizer.verify(path, path)
    with pytest.raises(UserError, match=r"Zoe: not enrolled: .*silence\.wav: silent"):
        recognizer.enroll("Zoe", [silence, broken])
    passed = recognizer.enroll("Zoe", [silence, trained.clips(recognizer.speakers[0])[0]])
    assert len(passed.skipped) == 1


def test_samples_are_as_good_as_a_file(trained: Trained, recognizer: Recognizer) -> None:
    clip = trained.clips(recognizer.speakers[0])[0]
    sound = decode(clip)
    assert recognizer.identify(sound.waveform, sound.sample_rate) == recognizer.identify(clip)


def test_the_number_of_clips_does_not_make_a_voice_nearer_to_strangers(trained: Trained) -> None:
    recognizer = Recognizer(trained.bundle)
    clips = trained.clips(recognizer.speakers[0])
    strangers = np.stack([recognizer.listen(clip).voice_print for clip in trained.clips(trained.stranger)])
    of = [np.stack([recognizer.listen(clip).voice_print for clip in clips[:count]]) for count in (3, 11)]
    few, many = (
        Bundle.fitted(trained.bundle.model, trained.bundle.features, trained.bundle.weights,
                      trained.bundle.profiles.with_speaker("Zoe", prints), trained.bundle.evidence, {})
        .profiles.scores(strangers)[:, -1] for prints in of
    )  # fmt: skip
    assert abs(few.mean() - many.mean()) < 0.25
    assert trained.bundle.enrolled("Zoe", of[1]).profiles.centers.shape[0] == len(recognizer.speakers) + 1


def test_a_channel_of_stereo_is_mixed(trained: Trained, recognizer: Recognizer) -> None:
    sound = decode(trained.clips(recognizer.speakers[0])[0])
    stereo = np.stack([sound.waveform, sound.waveform])
    mine = recognizer.listen(stereo, sound.sample_rate)
    assert torch.allclose(
        torch.from_numpy(mine.voice_print),
        torch.from_numpy(recognizer.listen(sound.waveform, sound.sample_rate).voice_print), atol=1e-5,
    )  # fmt: skip


def test_many_files_get_the_answers_they_get_alone(trained: Trained, recognizer: Recognizer, tmp_path: Path) -> None:
    clips = [clip for name in recognizer.speakers[:3] for clip in trained.clips(name)]
    for place, seconds in enumerate((0.2, 0.7, 1.3, 2.9, 9)):  # lengths that have to be padded
        write_wav(tmp_path / f"{place}.wav", np.resize(decode(clips[place]).waveform, round(seconds * 16_000)), 16_000)
    (tmp_path / "5.wav").write_bytes(b"RIFF nothing")
    paths = [*clips[:10], *(tmp_path / f"{place}.wav" for place in range(6)), *clips[10:]]
    together = list(recognizer.identify_many(iter(paths), 0.5, 3))
    assert {answer.said for answer in together} >= {"known", "too short", "broken"}
    for path, answer in zip(paths, together, strict=True):
        alone = recognizer.identify(path, None, 0.5, 3)
        assert (answer.said, answer.name, answer.reason) == (alone.said, alone.name, alone.reason)
        assert answer.seconds == pytest.approx(alone.seconds, nan_ok=True)
        assert [name for name, _ in answer.ranking] == [name for name, _ in alone.ranking]
        assert [p for _, p in answer.ranking] == pytest.approx([p for _, p in alone.ranking], abs=1e-5)


def test_a_voice_print_does_not_depend_on_what_is_embedded_beside_it(recognizer: Recognizer) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.normal(-8, 4, (length, 40)).astype(np.float32) for length in (50, 300, 51, 2500, 120, 50)]
    encoder = VoiceEncoder(recognizer.bundle)
    together = encoder.embed(frames)
    alone = np.concatenate([encoder.embed([some]) for some in frames])
    assert np.abs(together - alone).max() < 1e-5


def test_files_are_read_only_a_little_ahead(trained: Trained, recognizer: Recognizer) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield trained.clips(trained.stranger)[0]

    threads = torch.get_num_threads()
    answers = recognizer.identify_many(endless())
    assert next(answers).said in ("known", "unknown")
    answers.close()
    assert taken < 1000
    assert torch.get_num_threads() == threads


def test_the_nearest_of_many_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(400, 3, 24)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=-1, keepdims=True)
    clips = tuple(1 + n % 30 for n in range(400))
    plda = Plda(0.02, np.linspace(0.01, 0.08, 24))
    everybody = Profiles(
        tuple(f"s{n}" for n in range(400)), plda, centers, clips, (True,) * 400, even_clips(clips), (frozenset(),) * 400
    )
    prints = centers[:9, 0] + rng.normal(0, 0.1, (9, 24)).astype(np.float32)
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    places, scores = everybody.ranked(prints)
    monkeypatch.setattr(profiles, "MANY", 400)
    fast_places, fast_scores = everybody.ranked(prints)
    assert np.array_equal(fast_places, places)
    assert fast_scores == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(("worth", "expected"), [(1e9, 1), (0, 3)])
def test_small_models_embed_in_one_thread(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch, worth: float, expected: int
) -> None:
    seen = list[int]()
    encoder = VoiceEncoder(recognizer.bundle)
    monkeypatch.setattr(module, "WORTH_THREADS", worth)

    def embed(model: SpeakerClassifier, features: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return features.new_zeros(len(features), model.embedding_width)

    monkeypatch.setattr(SpeakerClassifier, "embed", embed)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        encoder.embed([np.zeros((60, 40), np.float32)])
        assert seen == [expected]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_package_hands_it_out_without_importing_torch_before() -> None:
    code = (
        "import sys, speakerid; recognizer = 'speakerid.recognition.recognizer'; assert recognizer not in sys.modules; "
        "speakerid.Recognizer; assert recognizer in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'Recogniser'"):
        speakerid.Recogniser  # noqa: B018 # pyright: ignore


def test_a_shorter_ranking_changes_no_probability(trained: Trained, recognizer: Recognizer) -> None:
    names = (*recognizer.speakers, trained.stranger)
    voices = [recognizer.listen(clip) for name in names for clip in trained.clips(name)]
    answers = [[recognizer.answer(voice, 0.001, top) for top in (1, len(recognizer.speakers))] for voice in voices]
    assert {answer.said for _, answer in answers} == {"known", "unknown"}
    for short, whole in answers:
        assert short.probability == whole.probability
        if whole.name is None:
            assert whole.probability == pytest.approx(1 - sum(probability for _, probability in whole.ranking))

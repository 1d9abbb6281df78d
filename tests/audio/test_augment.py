"""Augmented copies: as loud, as long, as high and as late as they should be, whatever comes in."""

import os
import pickle
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpora import write_recording
from speakerid.audio.augment import KINDS, SPEEDS, Augmenter, Copy, copies
from speakerid.audio.noises import NOISES, generate_noise
from speakerid.errors import UserError, message

RATE = 16_000
NOISE, REVERB = copies(["noise", "reverb"])
SEEDS = st.integers(0, 10_000)

Samples = NDArray[np.float32]


def augment(augmenter: Augmenter, waveform: Samples, copy: Copy, seed: int = 0, rate: int = RATE) -> Samples:
    augmented = augmenter(waveform, rate, copy, np.random.default_rng(seed))
    assert augmented.dtype == np.float32
    return augmented


def tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> Samples:
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def white(seconds: float = 1.0, seed: int = 0, rate: int = RATE) -> Samples:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).astype(np.float32)


def write(path: Path, samples: NDArray[np.floating], rate: int = RATE, subtype: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype)
    return path


def dominant(samples: NDArray[np.floating], rate: int = RATE) -> float:
    """Hz of the highest peak of the spectrum."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax()) * rate / len(samples)


def decibels(samples: NDArray[np.floating]) -> float:
    return 10 * float(np.log10(np.mean(samples.astype(float) ** 2)))


def write_musan(root: Path) -> Path:
    for content in ("noise", "music", "speech"):
        for place in range(3):
            write_recording(root / content / "some-source" / f"{content}-{place}.wav", seconds=2.0)
    (root / "README").write_text("not a sound")
    return root


def write_rirs(root: Path) -> Path:
    """RIRS_NOISES with two rooms and two noises."""
    impulse = np.zeros(800)
    impulse[[0, 400]] = 1.0, 0.5
    for name in ("simulated_rirs/smallroom/Room001/Room001-00001.wav", "real_rirs_isotropic_noises/air_type1_0.wav"):
        write(root / name, impulse)
    for name in ("real_rirs_isotropic_noises/RVB2014_type1_noise_1.wav", "pointsource_noises/noise-free-sound-0.wav"):
        write(root / name, white(seed=len(name)))

    def entry(option: str, path: str) -> str:
        return f"--{option}-id 00001 --room-id 001 RIRS_NOISES/{path}\n"

    real, simulated = root / "real_rirs_isotropic_noises", root / "simulated_rirs/smallroom"
    (simulated / "rir_list").write_text(entry("rir", "simulated_rirs/smallroom/Room001/Room001-00001.wav"))
    (real / "rir_list").write_text(entry("rir", "real_rirs_isotropic_noises/air_type1_0.wav") + "\n")
    (real / "noise_list").write_text(entry("noise", "real_rirs_isotropic_noises/RVB2014_type1_noise_1.wav"))
    (root / "pointsource_noises/noise_list").write_text(entry("noise", "pointsource_noises/noise-free-sound-0.wav"))
    return root


def test_copies_are_of_the_kinds_asked_for() -> None:
    assert [copy.kind for copy in copies(KINDS)] == ["noise", "reverb", "speed 0.9", "speed 1.1"]
    assert copies(["speed", "noise", "speed"]) == copies(["noise", "speed"])
    assert copies([]) == ()
    assert [copy.kind for copy in copies(KINDS) if copy.new_speaker] == [f"speed {speed}" for speed in SPEEDS]
    with pytest.raises(UserError, match="'echo', expected noise, reverb or speed"):
        copies(["noise", "echo"])


# Noise


def added(augmenter: Augmenter, speech: Samples, seeds: int) -> Iterator[Samples]:
    for seed in range(seeds):
        yield augment(augmenter, speech, NOISE, seed) - speech


@pytest.mark.parametrize(("content", "lowest", "highest"), [("noise", 0, 15), ("music", 5, 15), ("speech", 13, 20)])
def test_signal_to_noise_ratio_is_as_its_content_asks(
    tmp_path: Path, content: str, lowest: float, highest: float
) -> None:
    write_musan(tmp_path / "musan")
    speech = white(2.0, seed=1)
    augmenter = Augmenter(noise=tmp_path / "musan" / content)
    ratios = [decibels(speech) - decibels(noise) for noise in added(augmenter, speech, 40)]
    assert lowest - 0.3 <= min(ratios) < lowest + 2
    assert highest - 2 < max(ratios) <= highest + 0.3


def test_musan_s_contents_are_all_drawn(tmp_path: Path) -> None:
    for content, hertz in (("noise", 500), ("music", 1000), ("speech", 2000)):
        write(tmp_path / "musan" / content / "source" / "a.wav", tone(hertz))
    found = {round(dominant(noise), -2) for noise in added(Augmenter(noise=tmp_path), white(), 20)}
    assert found == {500, 1000, 2000}


def test_pauses_of_the_speech_do_not_count_in_its_level(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.wav", seconds=8.0)
    augmenter = Augmenter(noise=tmp_path)
    speech = white(2.0)
    paused = np.concatenate([speech, 0.01 * white(5.0)])
    for without, long in zip(added(augmenter, speech, 5), added(augmenter, paused, 5), strict=True):
        assert decibels(long) == pytest.approx(decibels(without), abs=0.3)


def test_pauses_of_the_noise_do_not_make_the_rest_louder(tmp_path: Path) -> None:
    """A click in silence is brought to the level of the speech, and not the mean over the silence."""
    click = np.zeros(2 * RATE, np.float32)
    click[RATE : RATE + 800] = white(0.05)
    write(tmp_path / "click.wav", click)
    speech = white(2.0, seed=1)
    for noise in added(Augmenter(noise=tmp_path), speech, 10):
        loudest = max(
            decibels(noise[start : start + 320]) for start in range(0, len(noise), 320) if noise[start:].any()
        )
        assert decibels(speech) - loudest > -3


def test_level_of_noise_is_that_of_a_second(tmp_path: Path) -> None:
    """A moment's recording in a quiet moment of the noise stays nearly clean."""
    write(tmp_path / "a.wav", np.concatenate([0.001 * white(0.9), white(0.1)]))
    speech = white(0.05)
    for noise in added(Augmenter(noise=tmp_path), speech, 10):
        assert decibels(speech) - decibels(noise) > 50


def test_the_innermost_folder_says_what_a_file_contains(tmp_path: Path) -> None:
    write_recording(tmp_path / "speech" / "Noise" / "street" / "a.wav", seconds=2.0)
    speech = white(seed=1)
    ratios = [decibels(speech) - decibels(noise) for noise in added(Augmenter(noise=tmp_path / "speech"), speech, 20)]
    assert min(ratios) < 10


def test_babble_is_three_to_seven_people(tmp_path: Path) -> None:
    voices = [200 + 100 * place for place in range(60)]
    for hertz in voices:
        write(tmp_path / "speech" / f"{hertz}.wav", tone(hertz))
    counts: list[int] = []
    for noise in added(Augmenter(noise=tmp_path), np.full(RATE, 0.1, np.float32), 30):
        spectrum = np.abs(np.fft.rfft(noise))[voices]
        counts.append(int((spectrum > 0.2 * spectrum.max()).sum()))
    assert set(counts) <= {2, 3, 4, 5, 6, 7}  # 2 where one person is drawn twice
    assert {3, 4, 5, 6, 7} <= set(counts)


@pytest.mark.parametrize("file_rate", [8_000, 16_000, 44_100, 48_000, 22_051])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_noise_of_another_rate_keeps_its_pitch(tmp_path: Path, file_rate: int, rate: int) -> None:
    write(tmp_path / "a.wav", tone(1000, 3.0, file_rate), file_rate)
    speech = white(1.5, rate=rate)
    noise = augment(Augmenter(noise=tmp_path), speech, NOISE, rate=rate) - speech
    assert dominant(noise, rate) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("level", [1e-37, 1e37])
def test_noise_of_any_level_is_brought_to_the_ratio(tmp_path: Path, level: float) -> None:
    write(tmp_path / "a.wav", level * white(2.0, seed=1).astype(float), subtype="FLOAT")
    noise = next(added(Augmenter(noise=tmp_path), white(), 1))
    assert 0 < decibels(white()) - decibels(noise) < 15


def test_channels_are_mixed(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", np.stack([tone(1000), tone(2000)], axis=1))
    speech = white()
    spectrum = np.abs(np.fft.rfft(augment(Augmenter(noise=tmp_path), speech, NOISE) - speech))
    assert spectrum[1000] == pytest.approx(spectrum[2000], rel=0.01)
    assert spectrum[1000] > 100 * spectrum[1500]


def test_short_noise_is_looped(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.wav", seconds=0.2)
    noises = list(added(Augmenter(noise=tmp_path), white(40.0), 3))
    levels = [decibels(part) for part in np.array_split(noises[0], 100)]
    assert max(levels) - min(levels) < 2
    assert np.abs(np.corrcoef(noises) - np.eye(3)).max() < 0.2  # each begins elsewhere


def test_each_draw_is_another_stretch_and_a_long_file_is_not_read_whole(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.wav", seconds=600.0, sample_rate=8_000)
    augmenter, speech = Augmenter(noise=tmp_path), white(2.0, rate=8_000)
    tracemalloc.start()
    copies_made = [augment(augmenter, speech, NOISE, seed, 8_000) for seed in range(4)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000  # the whole file is 19 MB of float32
    noises = [copy - speech for copy in copies_made]
    assert np.abs(np.corrcoef(noises) - np.eye(4)).max() < 0.1


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_generated_noise_is_within_the_ratios_and_never_the_same(rate: int) -> None:
    speech, augmenter = white(1.5, rate=rate), Augmenter()
    noises = [augment(augmenter, speech, NOISE, seed, rate) - speech for seed in range(30)]
    ratios = [decibels(speech) - decibels(noise) for noise in noises]
    # The level of a noise with pauses is that of its loud frames, so that the mean may lie below it.
    assert min(ratios) > -0.5
    assert max(ratios) < 25
    assert max(ratios) - min(ratios) > 8
    similarity = np.corrcoef(noises) - np.eye(len(noises))
    assert np.abs(similarity).max() < 0.9


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rate", [1_000, 16_000])
def test_generated_noise_can_be_looped(noise: str, rate: int) -> None:
    for seed in range(10):
        samples, found_rate = generate_noise(noise, 0.5, rate, np.random.default_rng(seed))
        assert len(samples) >= found_rate / 2
        steps = np.abs(np.diff(samples))
        assert abs(samples[0] - samples[-1]) <= 1.5 * steps.max()


def test_kinds_of_generated_noise() -> None:
    def levels(noise: str, seed: int) -> float:
        """How much the level of a tenth of a second varies, in dB."""
        samples, rate = generate_noise(noise, 10.0, RATE, np.random.default_rng(seed))
        return float(np.std([decibels(part) for part in np.array_split(samples, 10 * len(samples) // rate)]))

    assert max(levels("stationary", seed) for seed in range(5)) < 1.5 < 2.5
    assert min(levels("fluctuating", seed) for seed in range(5)) > 2.5
    for seed in range(5):
        hum, rate = generate_noise("hum", 10.0, RATE, np.random.default_rng(seed))
        power = np.abs(np.fft.rfft(hum)) ** 2
        frequencies = np.arange(len(power)) * rate / len(hum)
        mains = [near * detuned for near in (50, 60) for detuned in np.linspace(0.995, 1.005, 41)]
        off = [np.abs(frequencies - hertz * np.round(frequencies / hertz)) for hertz in mains]
        assert max(power[distance < 1].sum() for distance in off) > 0.9 * power.sum()
    with pytest.raises(AssertionError, match="expected one of"):
        generate_noise("silence", 1.0, RATE, np.random.default_rng(0))


# Rooms


@given(st.integers(1, 5_000), st.sampled_from([1_000, 8_000, 16_000, 44_100]), SEEDS)
@settings(max_examples=50, deadline=None)
def test_a_room_keeps_length_and_energy(samples: int, rate: int, seed: int) -> None:
    speech = white(samples / rate, seed, rate)
    reverberant = augment(Augmenter(), speech, REVERB, seed, rate)
    assert reverberant.shape == speech.shape
    assert np.linalg.norm(reverberant) == pytest.approx(np.linalg.norm(speech), rel=1e-4)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_generated_rooms_do_not_delay_and_fade_in_time(seed: int, rate: int) -> None:
    click = np.zeros(2 * rate, np.float32)
    click[rate // 2] = 1.0
    response = augment(Augmenter(), click, REVERB, seed, rate)
    assert np.abs(response).argmax() == rate // 2
    assert np.abs(response[: rate // 2]).max() < 1e-5
    # Schroeder's backward integration, from 5 to 25 dB of decay, behind direct sound and early reflections.
    remaining = np.cumsum(response[rate // 2 + round(0.03 * rate) :][::-1].astype(float) ** 2)[::-1]
    level = 10 * np.log10(remaining / remaining[0] + 1e-12)
    reverberation = 3 * (np.argmax(level < -25) - np.argmax(level < -5)) / rate
    assert 0.11 < reverberation < 0.9


def test_a_generated_tail_is_as_strong_at_any_rate() -> None:
    for seed in range(5):
        tails: list[float] = []
        for rate in (8_000, 48_000):
            click = np.zeros(rate, np.float32)
            click[0] = 1.0
            response = augment(Augmenter(), click, REVERB, seed, rate)
            tails.append(decibels(response[round(0.03 * rate) :] / response[0]) + 10 * np.log10(rate))
        assert tails[0] == pytest.approx(tails[1], abs=1)


def test_rooms_differ() -> None:
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    responses = [augment(Augmenter(), click, REVERB, seed) for seed in range(5)]
    assert all(np.abs(one - other).max() > 0.01 for one, other in pairwise(responses))


@given(st.integers(1, 4_000), SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_given_room_is_a_convolution_without_its_delay(
    tmp_path_factory: pytest.TempPathFactory, samples: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    response = 0.1 * rng.standard_normal(600)
    response[:100] *= 0.01
    response[100] = 0.9
    folder = tmp_path_factory.mktemp("rooms")
    write(folder / "a.wav", response, subtype="DOUBLE")
    speech = white(samples / RATE, seed)
    expected = np.convolve(speech, response)[100 : 100 + samples]
    expected *= np.linalg.norm(speech) / np.linalg.norm(expected)
    np.testing.assert_allclose(augment(Augmenter(rooms=folder), speech, REVERB, seed), expected, atol=1e-5)


def test_a_room_of_another_rate_keeps_its_times(tmp_path: Path) -> None:
    response = np.zeros(24_000)
    response[[480, 480 + 4_800]] = 0.9, 0.6
    write(tmp_path / "a.wav", response, 48_000)
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    found = augment(Augmenter(rooms=tmp_path), click, REVERB)
    assert np.abs(found).argmax() == 100
    assert 1_000 + np.abs(found[1_000:]).argmax() == 100 + 1_600  # the echo is 0.1 s behind


def test_one_microphone_of_several_hears_the_room(tmp_path: Path) -> None:
    responses = np.zeros((400, 2))
    responses[0], responses[200, 0], responses[300, 1] = 0.9, 0.5, 0.5
    write(tmp_path / "a.wav", responses)
    click = np.zeros(1_000, np.float32)
    click[0] = 1.0
    echoes = {
        tuple(np.flatnonzero(np.abs(augment(Augmenter(rooms=tmp_path), click, REVERB, s)) > 0.1)) for s in range(9)
    }
    assert echoes == {(0, 200), (0, 300)}


# Speed


@given(st.floats(100, 3_000), st.sampled_from([8_000, 16_000, 22_050, 44_100]), st.sampled_from(copies(["speed"])))
@settings(max_examples=40, deadline=None)
def test_speed_changes_length_and_pitch_by_the_factor(hertz: float, rate: int, copy: Copy) -> None:
    factor = float(copy.kind.removeprefix("speed "))
    speech = tone(hertz, 1.0, rate)
    changed = augment(Augmenter(), speech, copy, rate=rate)
    assert len(changed) == pytest.approx(len(speech) / factor, abs=1)
    assert dominant(changed, rate) == pytest.approx(factor * hertz, abs=2)
    assert decibels(changed) == pytest.approx(decibels(speech), abs=0.2)


def test_what_a_faster_speed_moves_beyond_the_highest_frequency_does_not_come_back() -> None:
    _, faster = copies(["speed"])
    assert decibels(augment(Augmenter(), tone(7_900), faster)) < decibels(tone(7_900)) - 40


# Whatever comes in


@given(
    st.integers(0, 3_000),
    st.sampled_from([1_000, 8_000, 11_025, 16_000, 48_000]),
    st.sampled_from(copies(KINDS)),
    st.sampled_from(["noise", "silence", "constant", "click"]),
    st.sampled_from([1e-38, 1e-6, 1.0, 1e30]),
    SEEDS,
)
@example(1, 16_000, NOISE, "constant", 1.0, 0)
@example(1, 16_000, REVERB, "constant", 1.0, 0)
@settings(max_examples=150, deadline=None)
def test_any_waveform(samples: int, rate: int, copy: Copy, shape: str, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    waveform = {
        "noise": rng.standard_normal(samples),
        "silence": np.zeros(samples),
        "constant": np.ones(samples),
        "click": np.arange(samples) == samples // 2,
    }[shape]
    speech = (level * waveform).astype(np.float32)
    before = speech.copy()
    augmented = augment(Augmenter(), speech, copy, seed, rate)
    assert np.isfinite(augmented).all()
    assert augmented.any() == speech.any()
    factor = float(copy.kind.removeprefix("speed ")) if copy.new_speaker else 1.0
    assert len(augmented) == pytest.approx(samples / factor, abs=0 if factor == 1 else 1)
    np.testing.assert_array_equal(speech, before)


@pytest.mark.parametrize("copy", copies(KINDS))
@pytest.mark.parametrize("sample", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(copy: Copy, sample: float) -> None:
    speech = white()
    speech[77] = sample
    with pytest.raises(UserError, match="not finite numbers"):
        augment(Augmenter(), speech, copy)


# Folders


@pytest.mark.parametrize("copy", copies(KINDS))
def test_the_same_numbers_make_the_same_copy(tmp_path: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in another process, and from a folder that the file system lists in another order."""
    for name in "abcd":
        write(tmp_path / f"{name}.wav", white(1.0, seed=ord(name)))
    augmenters: list[Augmenter] = []
    for backwards in (False, True):
        listed = sorted(os.scandir(tmp_path), key=lambda entry: entry.name, reverse=backwards)
        monkeypatch.setattr(os, "scandir", lambda _, listed=listed: listed)
        augmenters.append(Augmenter(tmp_path, tmp_path))
        monkeypatch.undo()
    one, two = augmenters
    assert one.fingerprint() == two.fingerprint()
    for first, second in ((one, two), (one, pickle.loads(pickle.dumps(one))), (Augmenter(), Augmenter())):
        for seed in range(5):
            np.testing.assert_array_equal(augment(first, white(), copy, seed), augment(second, white(), copy, seed))


def test_fingerprint_follows_names_and_sizes(tmp_path: Path) -> None:
    musan, rooms = write_musan(tmp_path / "musan"), write_rirs(tmp_path / "rirs")
    found = {Augmenter().fingerprint(), Augmenter(noise=musan).fingerprint(), Augmenter(rooms=rooms).fingerprint()}
    found.add(Augmenter(musan, rooms).fingerprint())
    os.utime(musan / "noise/some-source/noise-0.wav", (0, 0))
    assert Augmenter(musan, rooms).fingerprint() in found
    write_recording(musan / "noise/some-source/noise-0.wav", seconds=2.1)
    found.add(Augmenter(musan, rooms).fingerprint())
    (musan / "noise/some-source/noise-0.wav").rename(musan / "noise/other.wav")
    found.add(Augmenter(musan, rooms).fingerprint())
    assert len(found) == 6
    assert all(fingerprint.isprintable() for fingerprint in found)


def test_rooms_and_noises_of_rirs_noises_are_told_apart(tmp_path: Path) -> None:
    """What must not be drawn is broken, so that drawing it would be noticed."""
    rirs, speech = write_rirs(tmp_path / "RIRS_NOISES"), white()
    for path in rirs.rglob("*noise*.wav"):
        path.write_bytes(b"broken")
    for seed in range(20):
        augment(Augmenter(rooms=rirs), speech, REVERB, seed)
    for path in write_rirs(rirs).rglob("*.wav"):
        if "noise" not in path.name:
            path.write_bytes(b"broken")
    for seed in range(20):
        augment(Augmenter(noise=rirs), speech, NOISE, seed)
    with pytest.raises(UserError, match="cannot be decoded"):
        augment(Augmenter(rooms=rirs), speech, REVERB)


def test_hidden_files_are_passed_over_and_links_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.wav", tone(1000))
    root = tmp_path / "noises"
    root.mkdir()
    (root / "._a.wav").write_bytes(b"broken")
    (root / ".Trash").mkdir()
    (root / ".Trash" / "b.wav").write_bytes(b"broken")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "round").symlink_to(root)
    (root / "nowhere.wav").symlink_to(tmp_path / "nothing")
    for noise in added(Augmenter(noise=root), white(), 10):
        assert dominant(noise) == pytest.approx(1000, abs=2)


def test_names_need_not_be_unicode(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    try:
        write(tmp_path / "a.wav", tone(1000)).rename(path)
    except OSError:
        pytest.skip("the file system wants names to be Unicode")
    augmenter = Augmenter(noise=tmp_path, rooms=tmp_path)
    assert dominant(next(added(augmenter, white(), 1))) == pytest.approx(1000, abs=2)
    Path(path).write_bytes(b"broken")
    with pytest.raises(UserError) as raised:
        augment(augmenter, white(), REVERB)
    assert r"caf\udce9.wav: " in message(raised.value)


def test_folders_without_sounds_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no sound")
    for folder, complaint in (("missing", "no such folder"), ("empty", "no sound files found")):
        with pytest.raises(UserError, match=f"{folder}: {complaint}"):
            Augmenter(noise=tmp_path / folder)
        with pytest.raises(UserError, match=f"{folder}: {complaint}"):
            Augmenter(rooms=tmp_path / folder)


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5_000))


def no_samples(path: Path) -> None:
    write(path, np.zeros(0))


def silent(path: Path) -> None:
    write(path, np.zeros(2 * RATE))


def not_finite(path: Path) -> None:
    write(path, np.full(RATE, np.nan), subtype="FLOAT")


def slow(path: Path) -> None:
    write(path, white(), 100)


def cut_off(path: Path) -> None:
    write(path.with_suffix(".flac"), white(60.0))
    path.write_bytes(path.with_suffix(".flac").read_bytes()[:10_000])
    path.with_suffix(".flac").unlink()


@pytest.mark.parametrize("break_file", [garbage, no_samples, silent, not_finite, slow, cut_off])
@pytest.mark.parametrize("copy", [NOISE, REVERB])
def test_a_broken_file_is_named(tmp_path: Path, break_file: Callable[[Path], None], copy: Copy) -> None:
    break_file(tmp_path / "bad.wav")
    augmenter = Augmenter(noise=tmp_path, rooms=tmp_path)
    with pytest.raises(UserError, match=r"bad\.wav: .*remove") as raised:
        augment(augmenter, white(30.0), copy)
    assert "\n" not in str(raised.value)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    write_recording(tmp_path / "gone.wav")
    augmenter = Augmenter(noise=tmp_path)
    (tmp_path / "gone.wav").unlink()
    with pytest.raises(UserError, match=r"gone\.wav: .*No such file"):
        augment(augmenter, white(), NOISE)


def test_a_recording_is_no_room(tmp_path: Path) -> None:
    write_recording(tmp_path / "music.wav", seconds=30.0, sample_rate=8_000)
    with pytest.raises(UserError, match=r"music\.wav: found 30\.0 s, expected a room's impulse response"):
        augment(Augmenter(rooms=tmp_path), white(), REVERB)


def test_silent_parts_of_a_good_file_are_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.concatenate([white(20.0), np.zeros(10 * RATE)]))
    assert all(noise.any() for noise in added(Augmenter(noise=tmp_path), white(), 30))

"""Measure how fast a bundle identifies speakers: files per second, the first answer, and one among very many."""

import importlib.util
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

import speakerid
from result_tables import DASH, markdown
from speakerid import Bundle, FeatureConfig, Recognizer, UserError, decode, load_config
from speakerid.audio.resample import resample
from speakerid.base.parallel import processors
from speakerid.recognition.calibration_set import CalibrationSet
from speakerid.recognition.centers import CENTERS
from speakerid.recognition.embedder import Embedder
from speakerid.recognition.model_weights import arrays_of
from speakerid.recognition.paths import find_recordings
from speakerid.recognition.plda import Plda
from speakerid.recognition.profiles import Profiles, profiles_of
from speakerid.recognition.results import Voice

from .measuring import Run, middle, ratio, run_in_turn

CONFIG = Path(speakerid.__file__).parents[2] / "configs" / "few_minutes.yaml"
RATE = 16_000
SECONDS = 3
"""Duration of a clip."""
MANY, WIDTH = 100_000, 192
"""Number of enrolled speakers to search, and width of their voice prints."""
WARM_UP = 8
"""Number of files or queries before the measurement starts."""
QUESTIONS = 30
TOGETHER = 16
"""Number of clips per batch for SpeechBrain."""
IMPORT_TORCH = "`import torch`, from nothing"
LOAD = "from speakerid.recognition.recognizer import Recognizer; Recognizer.load({!r})"
ANSWER = "from speakerid.cli import run; run(['identify', {!r}, {!r}])"


def benchmark(bundle: Path | None, recordings: Path, clips: int, others: int, rounds: int) -> str:
    """Two tables, see `scripts/research/benchmark.py identify`.

    Args:
        bundle: file of a bundle; None for one with random weights.
        recordings: folder of recordings.
        clips: number of files to make of them.
        others: number of these used for the slower measurements.
        rounds: number of rounds.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if bundle is None:
            bundle = folder / "random.safetensors"
            random_bundle().save(bundle)
        paths = list(islice(_write_clips(recordings, folder), clips))
        few = paths[:others]
        whole: dict[tuple[str, ...], Callable[[], float]] = {
            ("identify_many",): partial(_identify_many, bundle, paths),
            ("identify, file by file",): partial(_identify, bundle, few, None),
            ("identify, file by file, one thread",): partial(_identify, bundle, few, 1),
            ("decoding alone",): partial(_decode, paths),
        }
        for title, package, measure in (
            ("Resemblyzer", "resemblyzer", _resemblyzer),
            ("SpeechBrain ECAPA-TDNN", "speechbrain", _ecapa),
        ):
            if importlib.util.find_spec(package) is None:
                print(f"left out: {title} needs {package}; pip install -e '.[compare]'", file=sys.stderr)
                continue
            whole[title,] = partial(measure, few, None)
            whole[f"{title}, one thread",] = partial(measure, few, 1)
        starts: dict[tuple[str, ...], Callable[[], float]] = {
            ("`speakerid identify` of one file, from nothing",): partial(
                _start, ANSWER.format(str(bundle), str(few[0]))
            ),
            ("`Recognizer.load`, from nothing",): partial(_start, LOAD.format(str(bundle))),
            (IMPORT_TORCH,): partial(_start, "import torch"),
            ("`import speakerid`, from nothing",): partial(_start, "import speakerid"),
            (f"one among {MANY:,} speakers",): partial(_answer, bundle),
            ("the same, entirely in float32 with NumPy",): partial(_answer_plainly, bundle),
        }
        runs = run_in_turn({**whole, **starts}, rounds)
    counts = {name: len(paths if name[0] in ("identify_many", "decoding alone") else few) for name in whole}
    rates = {name: [counts[name] / run.seconds for run in runs[name]] for name in whole}
    heading = (
        f"{len(paths):,} clips of {SECONDS} s, {len(few):,} for slower contestants; medians of {rounds} rounds, with "
        f"the lowest and the highest. {processors()} cores, {platform.machine()}, "
        f"torch {torch.__version__}."
    )
    return "\n\n".join([heading, _rates(rates), _starts({name: runs[name] for name in starts})])


def random_bundle() -> Bundle:
    """Bundle of the model of configs/few_minutes.yaml with random weights, which is as fast as a trained one."""
    torch.manual_seed(0)
    config, features = load_config(CONFIG), FeatureConfig()
    embedder = Embedder(config.model, features.n_mels)
    names = [f"speaker{number}" for number in range(20)]
    prints = _prints(60, embedder.width)
    labels = np.arange(60) % 20
    evidence = [
        CalibrationSet(seconds, prints, np.array(names)[labels], _prints(40, embedder.width, 1), np.arange(40) // 2)
        for seconds in (1.0, 4.0)
    ]
    profiles = profiles_of(names, embedder.plda, prints, labels)
    return Bundle.fitted(
        config.model, features, arrays_of(embedder), profiles, evidence, {"fitted_on": "random numbers"}
    )


def _prints(number: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    prints = np.random.default_rng(seed).standard_normal((number, width), np.float32)
    return prints / np.linalg.norm(prints, axis=1, keepdims=True)


def _write_clips(recordings: Path, folder: Path) -> Iterator[Path]:
    """Cut clips from the concatenated recordings, repeatedly, as 16 kHz mono FLAC; no two are equal."""
    found = find_recordings([str(recordings)])
    held, number = np.empty(0, np.float32), count()
    for repeat in count():
        for path in found:
            try:
                sound = decode(path)
            except UserError as error:
                raise UserError(f"{path}: {error}; leave it out") from error
            held = np.concatenate([held, resample(sound.waveform, sound.sample_rate, RATE)[repeat:]])
            while len(held) >= SECONDS * RATE:
                clip = folder / f"{next(number):06d}.flac"
                soundfile.write(clip, held[: SECONDS * RATE], RATE)
                held = held[SECONDS * RATE :]
                yield clip


def _limit(threads: int | None) -> None:
    if threads is not None:  # setting torch's default differs from leaving it: MKL then no longer asks OpenMP
        torch.set_num_threads(threads)


def _timed(work: Callable[[Sequence[Path]], object], paths: Sequence[Path]) -> float:
    work(paths[:WARM_UP])
    began = perf_counter()
    work(paths)
    return perf_counter() - began


def _identify_many(bundle: Path, paths: Sequence[Path]) -> float:
    recognizer = Recognizer.load(bundle)
    return _timed(lambda some: list(recognizer.identify_many(some)), paths)


def _identify(bundle: Path, paths: Sequence[Path], threads: int | None) -> float:
    _limit(threads)
    recognizer = Recognizer.load(bundle)
    return _timed(lambda some: [recognizer.identify(path) for path in some], paths)


def _decode(paths: Sequence[Path]) -> float:
    def work(some: Sequence[Path]) -> None:
        with ThreadPoolExecutor(processors()) as pool:
            for _ in pool.map(decode, some):
                pass

    return _timed(work, paths)


def _resemblyzer(paths: Sequence[Path], threads: int | None) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder, preprocess_wav  # pyright: ignore[reportMissingImports]

        encoder = VoiceEncoder("cpu", verbose=False)
        _limit(threads)
        return _timed(lambda some: [encoder.embed_utterance(preprocess_wav(path)) for path in some], paths)


def _ecapa(paths: Sequence[Path], threads: int | None) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from speechbrain.inference.speaker import EncoderClassifier  # pyright: ignore[reportMissingImports]
        from speechbrain.lobes.features import Fbank  # pyright: ignore[reportMissingImports]
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN  # pyright: ignore[reportMissingImports]
        from speechbrain.processing.features import InputNormalization  # pyright: ignore[reportMissingImports]

        modules = {
            "compute_features": Fbank(n_mels=80),
            "mean_var_norm": InputNormalization(norm_type="sentence", std_norm=False),
            # Sizes of the pretrained spkrec-ecapa-voxceleb.
            "embedding_model": ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072]),
            "classifier": torch.nn.Identity(),
        }
        encoder = EncoderClassifier(modules=modules, hparams={"label_encoder": None})
        _limit(threads)

        def work(some: Sequence[Path]) -> None:
            for first in range(0, len(some), TOGETHER):
                waveforms = [torch.from_numpy(decode(path).waveform) for path in some[first : first + TOGETHER]]
                with torch.inference_mode():
                    encoder.encode_batch(torch.stack(waveforms))

        return _timed(work, paths)


def _start(program: str) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return perf_counter() - began


def _among_many(bundle: Path) -> Recognizer:
    centers = _prints(MANY * CENTERS, WIDTH).reshape(MANY, CENTERS, WIDTH)
    names = tuple(f"speaker{number}" for number in range(MANY))
    plda = Plda(0.5 / WIDTH, np.full(WIDTH, 0.5 / WIDTH))
    many = Profiles(names, plda, centers, (CENTERS,) * MANY, (False,) * MANY,
                         np.ones((MANY, CENTERS), np.int64), (frozenset(),) * MANY)  # fmt: skip
    return Recognizer(replace(Bundle.load(bundle), profiles=many))


def _answer(bundle: Path) -> float:
    recognizer = _among_many(bundle)
    return _per_question(lambda voice_print: recognizer.answer(Voice(SECONDS, voice_print, recognizer.bundle.encoder)))


def _answer_plainly(bundle: Path) -> float:
    profiles = _among_many(bundle).bundle.profiles
    return _per_question(lambda voice_print: profiles.scores(voice_print[None]).argsort(1))


def _per_question(ask: Callable[[NDArray[np.float32]], object]) -> float:
    seconds = []
    for voice_print in _prints(WARM_UP + QUESTIONS, WIDTH, 1):
        began = perf_counter()
        ask(voice_print)
        seconds.append(perf_counter() - began)
    return median(seconds[WARM_UP:])


def _rates(rates: Mapping[tuple[str, ...], Sequence[float]]) -> str:
    ours = rates["identify_many",]
    rows = []
    for (name,), found in rates.items():
        rows.append([name, f"{median(found):.1f}", ratio(ours, found)])
    return markdown(["", "files per second", "identify_many / this"], rows)


def _starts(runs: Mapping[tuple[str, ...], Sequence[Run]]) -> str:
    torch_seconds = [run.seconds for run in runs[IMPORT_TORCH,]]
    rows = []
    for (name,), found in runs.items():
        seconds = [run.seconds for run in found]
        from_nothing = "from nothing" in name
        unit, factor = ("s", 1) if from_nothing else ("ms", 1000)
        share = ratio(seconds, torch_seconds) if from_nothing else DASH
        rows.append([name, middle([factor * value for value in seconds], unit), share])
    return markdown(["", "time", "time / time of `import torch`"], rows)

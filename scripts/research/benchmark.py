"""Measure speed and memory on this machine, compared with its limits and with plain implementations.

  python scripts/research/benchmark.py prepare RECORDINGS
  python scripts/research/benchmark.py open
  python scripts/research/benchmark.py train
  python scripts/research/benchmark.py accuracy RECORDINGS OUT --against REV
  python scripts/research/benchmark.py memory
  python scripts/research/benchmark.py start
  python scripts/research/benchmark.py identify BUNDLE RECORDINGS

Everything that is compared runs in turn, in rounds, in processes of its own. Figures are medians over the rounds, and
ratios are taken within a round, so that other work on the machine affects both sides; stop it nevertheless. Progress
goes to stderr and the tables, in Markdown, to stdout.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from speakerid.cli import exit_with
from speakerid.cli.arguments import checked, positive

# Heavy imports are inside the commands: every worker process imports this file when it starts.

PREPARE = """\
Hours of audio per minute from recordings to a packed corpus, end to end, from FLAC and from Ogg Vorbis.

RECORDINGS, in any layout that prepare knows, are written once as 16 kHz mono in both formats into a temporary folder
(set by TMPDIR), repeated under new names until there is enough audio. The contestants are
  decoding    soundfile.read of whole files and nothing else, in processes that have started already: the limit
  plain loop  soundfile.read, torchaudio's MelSpectrogram, log, torch.save, file by file in one process and with torch's
              default threads; without leveling, trimming, checks and report
  prepare     speakerid.preparation.prepare.prepare to the packed store
The files are in the page cache for all three. Starting the workers is part of prepare's time; for rates without
start-up, the time for 4 recordings is subtracted."""


OPEN = """\
Seconds to open a packed corpus of VoxCeleb2's size, and one of HW4's size in HW4 files.

Each utterance is a single number, to save disk space; the numbers of names, speakers and sessions are the real ones."""


TRAIN = """\
Training steps and whole utterances per second: ours, and loops with PyTorch's and torchaudio's layers.

Synthetic features of 600 speakers are written into a temporary folder (set by TMPDIR). The contestants are
  ours   TrainingBatches from the packed store, SpeakerClassifier as in configs/, the trainer's TrainingStep; whole
         utterances by speakerid.training.predict
  plain  torch.load of every utterance, torch.nn.TransformerEncoderLayer (one layer three times) or
         torchaudio.models.Conformer of the same sizes, the loss read at every step; utterances one by one
in float32 and bfloat16 (autocast), with and without dropout, on the CPU and on a GPU if there is one. The last column
is the share of the speed of a large matrix product in the same precision, measured in every round. With --against,
configs/few_minutes.yaml is measured too: both builds' own settings, 32 × 64 frames, without channel augmentation."""


ACCURACY = """\
Processor time that configs/few_minutes.yaml needs to reach an accuracy, in the working tree and in an earlier revision.

Both builds train their own config with one thread, once and without channel augmentation, for the same numbers of
steps, in turn; each number of steps is a training of its own, with its whole schedule. Timed are batches, steps,
moving average and the refit of the classifier. Accuracies are of whole test utterances by the checkpoint that
validation chose, averaged over speakers. The time to the target lies between two numbers of steps, by linear
interpolation of the accuracy in the logarithm of the time, and the accuracy stays at or above the target from there on.

Corpora are those of compare.py, from RECORDINGS, and are written into OUT/corpora if they are missing:
  voices-all-equalized  800 steps, target 97 %
  speeds                1,500 steps, target 72 %, with model.subtract_mean=false
  demo-600              2,500 steps, target 89 %
Runs are kept in OUT/accuracy under a digest of their sources and settings, and are not repeated; the tables say how
many pairs were measured in turn. An interrupted call continues."""


MEMORY = """\
Memory of a training process over many steps, from a corpus of 5,666 utterances and from one of 56,666 (2.5 GB).

The model is the smallest possible, since the loop and the data are measured; both corpora are noise in a temporary
folder (set by TMPDIR)."""


START = """\
Seconds from the command to the first training step, with 56,666 utterances packed (2.5 GB of noise).

The settings are Task 2's; each start is a new process, including imports, with the files in the system's cache. Beside
it stands `import torch` in a process of its own, and with --against the same start of an earlier revision."""


IDENTIFY = """\
Files per second from a folder of clips to names, seconds to the first answer, and milliseconds to find one of many.

RECORDINGS are cut into clips of 3 s, 16 kHz mono FLAC, in a temporary folder (set by TMPDIR). BUNDLE is a file made by
`speakerid export`, or the word `nothing` for the model of configs/few_minutes.yaml with random weights, which is as
fast. The contestants are
  identify_many           what `speakerid identify FOLDER` does: decoding, log-mels, model, scores, answers; all cores
  identify, file by file  the same for one file at a time
  decoding alone          speakerid.audio.decode.decode in as many threads as there are cores: the limit
  Resemblyzer             preprocess_wav and embed_utterance of one file at a time
  SpeechBrain ECAPA-TDNN  encode_batch of 16 clips at a time, after decoding; random weights, as fast as trained ones
`identify` file by file and the last two, which only embed, run with torch's default threads and with one. The last two
need the extra `compare`. Each of 100,000 enrolled speakers has three centers of 192 random numbers. Start-ups are whole
processes, including the interpreter's own start, with the files in the system's cache."""


def main() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")

    def command(name: str, text: str, action: Callable[[argparse.Namespace], str]) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text.split("\n", 1)[0], description=text, formatter_class=form)
        added.set_defaults(action=action)
        return added

    prepare = command("prepare", PREPARE, _prepare)
    prepare.add_argument("recordings", type=Path, metavar="RECORDINGS", help="for example, a folder per speaker")
    _add_number(prepare, "--seconds", 3 * 3600, "least duration of audio")
    _add_number(prepare, "--rounds", 3, "number of rounds")
    _add_number(command("open", OPEN, _open), "--rounds", 8, "number of openings of each")
    train = command("train", TRAIN, _train)
    _add_number(train, "--rounds", 4, "number of rounds")
    _add_number(train, "--steps", 8, "steps per round")
    _add_number(train, "--utterances", 48, "number of utterances in the corpus")
    _add_number(train, "--batch-size", 32, "utterances per batch")
    _add_number(train, "--crop-frames", 128, "frames per crop")
    train.add_argument("--threads", type=positive, metavar="N", help="threads of every process (default: torch's)")
    train.add_argument("--profile", action="store_true", help="list the five slowest operations")
    train.add_argument("--against", metavar="REV", help="git revision of speakerid to compare with")
    _add_accuracy_options(command("accuracy", ACCURACY, _accuracy))
    _add_number(command("memory", MEMORY, _memory), "--steps", 20_000, "number of training steps")
    start = command("start", START, _start)
    _add_number(start, "--rounds", 5, "number of starts")
    _add_number(start, "--utterances", 56_666, "number of utterances in the corpus")
    start.add_argument("--against", metavar="REV", help="git revision of speakerid to compare with")
    identify = command("identify", IDENTIFY, _identify)
    identify.add_argument("bundle", metavar="BUNDLE", help="speaker.safetensors, or the word nothing")
    identify.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder")
    _add_number(identify, "--clips", 1000, "number of files")
    _add_number(identify, "--others", 50, "number of files for slower contestants")
    _add_number(identify, "--rounds", 3, "number of rounds")
    options = parser.parse_args()
    print(options.action(options))
    return 0


def _add_number(parser: argparse.ArgumentParser, name: str, default: int, text: str) -> None:
    parser.add_argument(name, type=positive, default=default, metavar="N", help=f"{text} (default {default})")


def _add_accuracy_options(parser: argparse.ArgumentParser) -> None:
    share = checked(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
    percent = checked(float, lambda value: 0 < value < 100, "a number between 0 and 100")
    shares = [0.25, 0.35, 0.5, 0.7, 1.0]
    parser.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder per speaker")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for corpora and runs")
    parser.add_argument("--against", required=True, metavar="REV", help="git revision of speakerid to compare with")
    parser.add_argument("--corpora", nargs="+", metavar="NAME", help="see above; default: all")
    parser.add_argument(
        "--shares", type=share, nargs="+", default=shares, metavar="X",
        help="shares of the steps (default 0.25 0.35 0.5 0.7 1)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default 0 1 2")
    parser.add_argument("--steps", type=positive, metavar="N", help="full number of steps (default: see above)")
    parser.add_argument("--target", type=percent, metavar="PCT", help="accuracy in percent (default: see above)")
    parser.add_argument(
        "--settings", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the working tree's side alone"
    )


def _prepare(options: argparse.Namespace) -> str:
    from benchmarks.prepare import benchmark

    return benchmark(options.recordings, options.seconds, options.rounds)


def _open(options: argparse.Namespace) -> str:
    from benchmarks.opening import benchmark

    return benchmark(options.rounds)


def _train(options: argparse.Namespace) -> str:
    from benchmarks.training import Options, benchmark

    names = ("rounds", "steps", "utterances", "batch_size", "crop_frames", "threads", "profile", "against")
    return benchmark(Options(**{name: getattr(options, name) for name in names}))


def _accuracy(options: argparse.Namespace) -> str:
    from benchmarks.accuracy import Options, benchmark

    names = ("recordings", "out", "against", "corpora", "shares", "seeds", "steps", "target", "settings")
    return benchmark(Options(**{name: getattr(options, name) for name in names}))


def _memory(options: argparse.Namespace) -> str:
    from benchmarks.memory import benchmark

    return benchmark(options.steps)


def _start(options: argparse.Namespace) -> str:
    from benchmarks.starting import benchmark

    return benchmark(options.rounds, options.utterances, options.against)


def _identify(options: argparse.Namespace) -> str:
    from benchmarks.identifying import benchmark

    bundle = None if options.bundle == "nothing" else Path(options.bundle)
    return benchmark(bundle, options.recordings, options.clips, options.others, options.rounds)


if __name__ == "__main__":
    exit_with(main)

"""Measure speed and memory on this machine, compared with its limits and with plain implementations.

  python scripts/research/benchmark.py prepare RECORDINGS
  python scripts/research/benchmark.py open
  python scripts/research/benchmark.py train
  python scripts/research/benchmark.py memory
  python scripts/research/benchmark.py start
  python scripts/research/benchmark.py identify BUNDLE RECORDINGS

Everything that is compared runs in turn, in rounds, in processes of its own. Figures are medians over the rounds, and
ratios are taken within a round, so that other work on the machine affects both sides; stop it nevertheless. Progress
goes to stderr and the tables, in Markdown, to stdout.
"""

import argparse
from pathlib import Path

from speakerid.cli import exit_with

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
is the share of the speed of a large matrix product in the same precision, measured in every round."""


MEMORY = """\
Memory of a training process over many steps, from a corpus of 5,666 utterances and from one of 56,666 (2.5 GB).

The model is the smallest possible, since the loop and the data are measured; both corpora are noise in a temporary
folder (set by TMPDIR)."""


START = """\
Seconds from the command to the first training step, with 56,666 utterances packed (2.5 GB of noise).

The settings are Task 2's; each start is a new process, including imports, with the files in the system's cache."""


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
    prepare = commands.add_parser("prepare", help=PREPARE.split("\n", 1)[0], description=PREPARE, formatter_class=form)
    prepare.add_argument("recordings", type=Path, metavar="RECORDINGS", help="for example, a folder per speaker")
    prepare.add_argument(
        "--seconds", type=_positive, default=3 * 3600, metavar="S", help="least duration of audio (default 10800: 3 h)"
    )
    prepare.add_argument("--rounds", type=_positive, default=3, metavar="N", help="number of rounds (default 3)")
    prepare.set_defaults(action=_prepare)
    opening = commands.add_parser("open", help=OPEN.split("\n", 1)[0], description=OPEN, formatter_class=form)
    opening.add_argument(
        "--rounds", type=_positive, default=8, metavar="N", help="number of openings of each (default 8)"
    )
    opening.set_defaults(action=_open)
    train = commands.add_parser("train", help=TRAIN.split("\n", 1)[0], description=TRAIN, formatter_class=form)
    train.add_argument("--rounds", type=_positive, default=4, metavar="N", help="number of rounds (default 4)")
    train.add_argument("--steps", type=_positive, default=8, metavar="N", help="steps per round (default 8)")
    train.add_argument(
        "--utterances", type=_positive, default=48, metavar="N", help="number of utterances in the corpus (default 48)"
    )
    train.add_argument("--batch-size", type=_positive, default=32, metavar="B", help="default 32")
    train.add_argument("--crop-frames", type=_positive, default=128, metavar="T", help="default 128")
    train.add_argument("--profile", action="store_true", help="list the five slowest operations")
    train.add_argument("--against", metavar="REV", help="git revision of speakerid to compare with")
    train.set_defaults(action=_train)
    memory = commands.add_parser("memory", help=MEMORY.split("\n", 1)[0], description=MEMORY, formatter_class=form)
    memory.add_argument(
        "--steps", type=_positive, default=20_000, metavar="N", help="number of training steps (default 20000)"
    )
    memory.set_defaults(action=_memory)
    start = commands.add_parser("start", help=START.split("\n", 1)[0], description=START, formatter_class=form)
    start.add_argument("--rounds", type=_positive, default=5, metavar="N", help="number of starts (default 5)")
    start.set_defaults(action=_start)
    identify = commands.add_parser(
        "identify", help=IDENTIFY.split("\n", 1)[0], description=IDENTIFY, formatter_class=form
    )
    identify.add_argument("bundle", metavar="BUNDLE", help="speaker.safetensors, or the word nothing")
    identify.add_argument("recordings", type=Path, metavar="RECORDINGS", help="a folder")
    identify.add_argument("--clips", type=_positive, default=1000, metavar="N", help="number of files (default 1000)")
    identify.add_argument(
        "--others", type=_positive, default=50, metavar="N", help="number of files for slower contestants (default 50)"
    )
    identify.add_argument("--rounds", type=_positive, default=3, metavar="N", help="number of rounds (default 3)")
    identify.set_defaults(action=_identify)
    options = parser.parse_args()
    return options.action(options)


def _prepare(options: argparse.Namespace) -> int:
    from benchmarks.prepare import benchmark

    print(benchmark(options.recordings, options.seconds, options.rounds))
    return 0


def _open(options: argparse.Namespace) -> int:
    from benchmarks.opening import benchmark

    print(benchmark(options.rounds))
    return 0


def _train(options: argparse.Namespace) -> int:
    from benchmarks.training import Options, benchmark

    names = ("rounds", "steps", "utterances", "batch_size", "crop_frames", "profile", "against")
    print(benchmark(Options(**{name: getattr(options, name) for name in names})))
    return 0


def _memory(options: argparse.Namespace) -> int:
    from benchmarks.memory import benchmark

    print(benchmark(options.steps))
    return 0


def _start(options: argparse.Namespace) -> int:
    from benchmarks.starting import benchmark

    print(benchmark(options.rounds))
    return 0


def _identify(options: argparse.Namespace) -> int:
    from benchmarks.identifying import benchmark

    bundle = None if options.bundle == "nothing" else Path(options.bundle)
    print(benchmark(bundle, options.recordings, options.clips, options.others, options.rounds))
    return 0


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of at least 1")
    return number


if __name__ == "__main__":
    exit_with(main)

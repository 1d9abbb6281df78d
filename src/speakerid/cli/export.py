"""Make a bundle from a checkpoint: one file that recognizes speakers and strangers.

  speakerid export runs/mine/best.pt speaker.safetensors
  speakerid export speaker.safetensors small.safetensors --to runtime
  speakerid export speaker.safetensors speaker.onnx --to onnx

Voice prints are computed from the utterances that the checkpoint was trained on. Thresholds are fitted on its
validation utterances and on the strangers of the corpus (prepare --strangers N); their expected error rates are printed
and stored in the bundle.

With --encoder, an embedding model in ONNX that was trained elsewhere (WeSpeaker, 3D-Speaker, …) takes the place of a
checkpoint, with the recordings of a prepared corpus:

  speakerid export --encoder model.onnx --features kaldi80 --data data/mine speaker.safetensors

With --to runtime, the bundle also holds its encoder in ONNX, and works where torch is not installed. SOURCE may be a
checkpoint or a bundle.

With --to onnx or torchscript, a bundle is exported for other programs: a model from waveform to scores with all
speakers of the bundle, and the decision rule. The export is compared with the bundle. Its format is described in the
docstrings of `speakerid.deployment.export`; scripts/examples/identify_onnx.py is an example.

With --to web, OUTPUT is a folder, a page that identifies and enrolls speakers in the browser and sends nothing. Any
server of static files serves it. The npm package onnxruntime-web is needed; npm pack onnxruntime-web@1.30.0 fetches it.

  speakerid export speaker.safetensors page/ --to web --onnxruntime-web onnxruntime-web-1.30.0.tgz

A bundle in which speakers were enrolled, forgotten or renamed is replaced only with --replace, because voice prints of
different trainings cannot be compared. --enroll FOLDER enrolls its speakers again from their recordings, FOLDER/NAME/,
before the old bundle is replaced; if any speaker's recordings are missing, the old bundle stays.

  speakerid export runs/new/best.pt speaker.safetensors --enroll enrolled/
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.errors import UserError
from speakerid.base.printing import counted, printable
from speakerid.cli.arguments import positive
from speakerid.cli.output import complain, say

if TYPE_CHECKING:
    from speakerid.recognition.enrollment import Enrollment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, nargs="?", metavar="SOURCE", help="best.pt of a run; with --to, a bundle")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file to write, such as speaker.safetensors")
    parser.add_argument(
        "--to", choices=["runtime", "onnx", "torchscript", "web"],
        help="a bundle that needs no torch, a format for other programs (onnxruntime, or torch.jit and C++), or a page",
    )  # fmt: skip
    parser.add_argument(
        "--onnxruntime-web", type=Path, metavar="PACKAGE", help="with --to web: the npm package, .tgz or unpacked"
    )
    pretrained = parser.add_argument_group("pretrained encoder")
    pretrained.add_argument("--encoder", type=Path, metavar="FILE", help="embedding model in ONNX, instead of SOURCE")
    pretrained.add_argument(
        "--features", choices=["kaldi80", "kaldi80-povey", "waveform"],
        help="input of the model: Kaldi's 80 log-mel bands as in WeSpeaker, or as in 3D-Speaker, or samples",
    )  # fmt: skip
    pretrained.add_argument("--sample-rate", type=positive, default=16_000, metavar="HZ", help="of the model (16000)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="corpus (default: the one it was trained on)")
    parser.add_argument(
        "--replace", action="store_true", help="replace a bundle in which speakers were enrolled, forgotten or renamed"
    )
    parser.add_argument(
        "--enroll", type=Path, metavar="FOLDER", help="enroll the speakers of the old bundle again, from FOLDER/NAME/"
    )


def run(options: argparse.Namespace) -> int:
    from speakerid.cli.destination import check_destination, corpus_files
    from speakerid.cli.kinds import BUNDLE, ONNX, TORCHSCRIPT

    _check_source(options)
    if options.onnxruntime_web and options.to != "web":
        raise UserError("--onnxruntime-web: has an effect with --to web only; leave it out")
    if options.to == "web":
        return _run_page(options)
    kind = {"onnx": ONNX, "torchscript": TORCHSCRIPT}.get(options.to, BUNDLE)
    inputs = [options.encoder or options.source, *(corpus_files(options.data) if options.data else ())]
    check_destination(options.output, kind, inputs)
    if options.to in ("onnx", "torchscript"):
        return _run_bundle(options)
    if (
        options.to == "runtime"
        and not options.encoder
        and options.source.is_file()
        and BUNDLE.recognizes(options.source)
    ):
        return _run_runtime(options)
    return _run_checkpoint(options)


def _run_checkpoint(options: argparse.Namespace) -> int:
    from speakerid.preparation.sources.walk import Remarks
    from speakerid.recognition.bundle_replacement import check_replaceable, enroll_again, recordings_again, save_new
    from speakerid.recognition.make_bundle import make_bundle

    if not options.encoder:
        _check_checkpoint(options.source)
    remarks = Remarks()
    again = recordings_again(options.output, options.enroll, remarks) if options.enroll else {}
    for line in remarks.lines():
        complain(line, "note")
    check_replaceable(options.output, options.replace, again)
    if options.encoder:
        from speakerid.recognition.make_pretrained import make_pretrained_bundle

        made = make_pretrained_bundle(options.encoder, options.features, options.data, options.sample_rate)
    else:
        made = make_bundle(options.source, options.data)
    bundle, enrollments = enroll_again(made, again)
    deviation = None
    if options.to == "runtime":
        from speakerid.deployment.encoder import with_onnx

        bundle, deviation = with_onnx(bundle)
    lost = save_new(bundle, options.output, options.replace, again)
    _say_enrolled(enrollments)
    for line in lost:
        say(f"Replaced: in the old bundle {line}.")
    if lost:
        say("Enroll the missing speakers again from their recordings; forget and rename again.")
    say(f"{counted(len(bundle.profiles.names), 'speaker')}: {printable(options.output)}")
    say(f"Thresholds fitted on {printable(bundle.fitted_on)}. At 1 % false accepts:")
    say(f"{'duration':<10}{'strangers named':>17}{'speakers identified':>22}")
    for row in bundle.expected:
        duration = f"{row.seconds:g} s"
        say(f"{duration:<10}{row.false_accepts:>17.1%}{row.identified:>22.1%}")
    if deviation is not None:
        _say_deviation(deviation)
    return 0


def _say_deviation(deviation: float) -> None:
    say(f"Encoder in ONNX: maximum difference of voice prints {deviation:.1e}.")


def _say_enrolled(enrollments: Sequence["Enrollment"]) -> None:
    for enrollment in enrollments:
        for line in enrollment.skipped:
            complain(line, "skipped")
        for line in enrollment.warnings:
            complain(line, "warning")
        recordings = counted(enrollment.added, "recording")
        say(f"{printable(enrollment.name)}: enrolled again from {recordings}")


def _check_source(options: argparse.Namespace) -> None:
    """Check that there is either a source or an encoder with what it needs."""
    if options.encoder is None:
        if options.source is None:
            raise UserError("SOURCE: missing; expected best.pt of a run, or --encoder model.onnx")
        if options.features is not None:
            raise UserError("--features: found without --encoder; a checkpoint has its own, so leave it out")
        return
    if options.source is not None:
        raise UserError(f"{options.source}: found a source beside --encoder, expected one of them")
    if options.to is not None:
        raise UserError(f"--to {options.to}: has no effect with --encoder, whose bundle needs no torch; leave it out")
    for name in ("features", "data"):
        if getattr(options, name) is None:
            raise UserError(f"--{name}: missing; --encoder needs --features and the prepared corpus as --data")


def _check_checkpoint(source: Path) -> None:
    """Refuse a bundle as the source of a bundle."""
    from speakerid.cli.kinds import BUNDLE

    if source.is_file() and BUNDLE.recognizes(source):
        raise UserError(
            f"{source}: found a bundle, expected a checkpoint; --to runtime, onnx, torchscript or web exports a bundle"
        )


def _run_runtime(options: argparse.Namespace) -> int:
    """Add the encoder in ONNX to a bundle."""
    for name in ("data", "enroll"):
        if getattr(options, name):
            raise UserError(f"--{name}: has no effect on a bundle with --to runtime; leave it out")
    from speakerid.deployment.encoder import with_onnx
    from speakerid.recognition.bundle import Bundle
    from speakerid.recognition.bundle_replacement import check_replaceable, save_new

    bundle = Bundle.load(options.source)
    check_replaceable(options.output, options.replace)
    bundle, deviation = with_onnx(bundle)
    for line in save_new(bundle, options.output, options.replace):
        say(f"Replaced: in the old bundle {line}.")
    say(f"{counted(len(bundle.profiles.names), 'speaker')}: {printable(options.output)}")
    _say_deviation(deviation)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that have no effect with --to."""
    for name in ("replace", "enroll"):
        if getattr(options, name):
            raise UserError(
                f"--{name}: has no effect with --to {options.to}, which does not write a bundle; leave it out"
            )
    if options.data:
        raise UserError(f"--data: has no effect with --to {options.to}, which needs no corpus; leave it out")


def _run_bundle(options: argparse.Namespace) -> int:
    _check_options(options)
    from speakerid.deployment.export import export_bundle
    from speakerid.recognition.bundle import Bundle

    bundle = Bundle.load(options.source)
    _say_exported(options.output, len(bundle.profiles.names), export_bundle(bundle, options.output, options.to))
    return 0


def _run_page(options: argparse.Namespace) -> int:
    from speakerid.cli.destination import check_folder

    _check_options(options)
    if options.onnxruntime_web is None:
        raise UserError(
            "--onnxruntime-web: missing with --to web; `npm pack onnxruntime-web@1.30.0` fetches the package, and this "
            "option names its file"
        )
    if options.output.exists():
        raise UserError(f"{options.output}: already exists; choose another folder or delete this one first")
    check_folder(options.output, [options.source, options.onnxruntime_web])
    from speakerid.deployment.web_page import export_page
    from speakerid.recognition.bundle import Bundle

    bundle = Bundle.load(options.source)
    deviation = export_page(bundle, options.output, options.onnxruntime_web)
    _say_exported(options.output, len(bundle.profiles.names), deviation)
    folder = shlex.quote(str(options.output))
    say(f"To open it here: python -m http.server --bind 127.0.0.1 --directory {folder}")
    return 0


def _say_exported(output: Path, speakers: int, deviation: float) -> None:
    say(f"{counted(speakers, 'speaker')}: {printable(output)}")
    say(f"Maximum difference from the bundle: {deviation:.1e}, over 50 recordings of 0.5 to 10 s.")

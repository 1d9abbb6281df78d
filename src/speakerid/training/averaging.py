"""Average the last checkpoints of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from speakerid.base.distributed import rank
from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.base.progress import Progress
from speakerid.corpus.labelled import chosen
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.cross_validation import check_held_out
from speakerid.training.refit import refit_classifier
from speakerid.training.run_directory import RunDirectory
from speakerid.training.training_data import TrainingData, open_training_data
from speakerid.training.utterance_record import never_trained_on
from speakerid.training.validation import validate


@dataclass(frozen=True)
class Validated:
    """Validation of the mean of some checkpoints of a run."""

    steps: tuple[int, ...]
    """Steps of the checkpoints."""
    figures: dict[str, float]
    """See `speakerid.training.validation.validate`."""


def average_checkpoints(
    run_dir: StrPath,
    output: StrPath,
    last: int | None = None,
    device: torch.device | str = "cpu",
    frames_per_batch: int | None = None,
) -> tuple[Validated, Validated]:
    """Write a checkpoint with the mean weights of a run's last checkpoints, and validate it and best.pt.

    Vaswani et al., 2017, section 6.1; Izmailov et al., 2018. The weights used for inference are averaged: the moving
    average if the run has one. The running statistics of BatchNorm are averaged too, while Izmailov et al. recompute
    them on the training data.

    Args:
        run_dir: folder of the run.
        output: checkpoint to write, atomically. It serves for inference and as `init_from`, but no run can resume from
            it, since it has no optimizer state.
        last: number of checkpoints; by default all that `train.keep_last` kept. A checkpoint from before the first
            step, or one that was kept only as one of the best, does not count.
        device: device of the models.
        frames_per_batch: bound on the padded frames of a batch; by default the run's setting.

    Returns:
        The validations of the mean and of best.pt.

    Raises:
        UserError: not a run, too few checkpoints, a damaged checkpoint or one of another run, a corpus that is not the
            run's, or an output that is one of the run's own checkpoints.
    """
    run_dir, output = Path(run_dir), Path(output)
    if not RunDirectory.holds_a_run(run_dir):
        raise UserError(f"{run_dir}: not a run with checkpoints; expected the run_dir of one")
    run = RunDirectory(run_dir, resume=True)
    _check_output(run, output)
    kept = _last_checkpoints(run, last)
    mean = _mean([*kept.values()])
    best = _load_same_run(run.best, mean)
    progress = Progress("auto" if rank() == 0 else "silent")
    data = _open_data(mean, run_dir, progress)
    if mean.config.train.refit_classifier:  # only the last checkpoint's classifier is refit
        mean = _with_classifier_refit(mean, data, torch.device(device), progress)
    figures, figures_of_best = _validated([mean, best], data, device, frames_per_batch, progress)
    if rank() == 0:
        replace(mean, accuracy=figures["accuracy"], validated=mean.step).save(output)
    return Validated(tuple(kept), figures), Validated((best.step,), figures_of_best)


def _open_data(checkpoint: Checkpoint, run_dir: Path, progress: Progress) -> TrainingData:
    data = open_training_data(checkpoint.config, progress)
    corpus = data.corpus
    if (corpus.speakers, corpus.features) != (checkpoint.speakers, checkpoint.features):
        raise UserError(f"{corpus.root}: its speakers or its features are not those that {run_dir} was trained on")
    check_held_out(data.split.final, corpus.root)
    return data


def _with_classifier_refit(
    checkpoint: Checkpoint, data: TrainingData, device: torch.device, progress: Progress
) -> Checkpoint:
    model = checkpoint.build_model().to(device)
    refit_classifier(model, checkpoint.config, data, device, progress)
    return replace(checkpoint, model={name: weight.cpu() for name, weight in model.state_dict().items()})


def _validated(
    checkpoints: Sequence[Checkpoint],
    data: TrainingData,
    device: torch.device | str,
    frames_per_batch: int | None,
    progress: Progress,
) -> list[dict[str, float]]:
    """Figures of checkpoints of one run on its validation utterances."""
    corpus, parts = data.corpus, data.split.final
    records = [checkpoint.utterances for checkpoint in checkpoints]
    unseen, lines = never_trained_on(corpus.labelled, parts.valid, records, f"{corpus.root}: validation")
    for line in dict.fromkeys(lines):
        progress.warn(line)
    most = frames_per_batch or checkpoints[0].config.data.frames_per_batch
    valid = chosen(data.labelled_parts(parts)[1], unseen)
    return [validate(checkpoint.build_model().to(device), valid, most, progress) for checkpoint in checkpoints]


def _check_output(run: RunDirectory, output: Path) -> None:
    own = (run.best.resolve(), run.last.resolve())
    if output.resolve() in own or output.resolve().parent == (run.path / "checkpoints").resolve():
        raise UserError(f"--output: found {output}, where the run keeps its own checkpoints; choose another file")


def _last_checkpoints(run: RunDirectory, last: int | None) -> dict[int, Path]:
    """Checkpoints to average, by step in ascending order."""
    kept = [(step, path) for step, path in run.kept().items() if step > 0]
    if kept:
        kept = kept[-Checkpoint.load(kept[-1][1]).config.train.keep_last :]
    wanted = 2 if last is None else last
    if wanted < 2:
        raise UserError(f"--last: found {wanted}, expected 2 or more to average")
    if len(kept) < wanted:
        raise UserError(
            f"{run.path}: found {len(kept)} checkpoints that train.keep_last kept, expected at least {wanted} to "
            f"average; train with train.keep_last={max(wanted, 5)}"
        )
    return dict(kept[-last:] if last else kept)


def _mean(paths: Sequence[Path]) -> Checkpoint:
    """The last checkpoint with the mean of all weights; integers are those of the last."""
    newest = Checkpoint.load(paths[-1])
    weights = newest.build_model().state_dict()
    totals = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in weights.items() if w.is_floating_point()}
    for path in paths:
        more = _load_same_run(path, newest).build_model().state_dict()
        for name, total in totals.items():
            total += more[name]
    means = {name: (total / len(paths)).to(weights[name].dtype) for name, total in totals.items()}
    return replace(newest, model=weights | means, average=None, optimizers=[], progress={})


def _load_same_run(path: Path, other: Checkpoint) -> Checkpoint:
    checkpoint = Checkpoint.load(path)
    for name in ("speakers", "extra_classes", "features"):
        if getattr(checkpoint, name) != getattr(other, name):
            raise UserError(f"{path}: its {name} are not those of the run's checkpoint after step {other.step}")
    if checkpoint.config.model != other.config.model:
        raise UserError(f"{path}: its model is not that of the run's checkpoint after step {other.step}")
    return checkpoint

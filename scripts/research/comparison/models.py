"""Contestants: a config with a function that makes the model, or a pretrained encoder."""

import importlib.util
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from speakerid import Checkpoint, Config, SpeakerClassifier, UserError, load_config
from speakerid.corpus.utterances import Corpus
from speakerid.training.run import MakeModel

from .corpora import LAST_SESSION, CorpusSpec
from .networks import Ecapa, make_course_sample, make_torchaudio_conformer
from .parts import batch_norms, changed, context_pooling, make_ecapa, squeeze, wide_norm

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
VALIDATIONS = 3
"""Number of validations of every run; each may choose the checkpoint."""
WARM_UP = 0.1
"""Share of a run's steps."""
ALONE = "data.frames_per_batch=1"
"""For models whose convolutions see the padding: every utterance is processed alone."""

_NARROW, _WIDE = "model.pooling_width=null", "model.pooling_width=384"
ONE_TRAINING = ("data.folds=0", "train.channel_augment={}")
"""`few_minutes` trained once, validated on the same utterances as the others, and without channel augmentation."""
FEW_MINUTES = (*ONE_TRAINING, _NARROW, "train.refit_classifier=false", "train.precision=float32")
"""`few_minutes` trained like the others, and with as many pooled channels as its encoder has."""
MEANS_KEPT = "model.subtract_mean=false"


@dataclass(frozen=True)
class Trained:
    """Model trained from scratch.

    Attributes:
        title: title in the tables.
        config: name of a file in configs/.
        overrides: overrides of its settings.
        make_model: see `speakerid.training.run.train`.
        needs: required package of the extra `compare`.
    """

    title: str
    config: str
    overrides: tuple[str, ...] = ()
    make_model: MakeModel = SpeakerClassifier
    needs: str | None = None


@dataclass(frozen=True)
class Untrained:
    """Contestant without steps and seed: the linear baseline, or a pretrained encoder with classifiers."""

    title: str
    needs: str | None = None


Contestant = Trained | Untrained

CONTESTANTS: dict[str, Contestant] = {
    "linear": Untrained("linear baseline"),
    "course": Trained("course sample", "course_sample", make_model=make_course_sample),
    "task1": Trained("Task 1", "task1_transformer"),
    "task2": Trained("Task 2", "task2_conformer"),
    # ECAPA-TDNN does not use the encoder settings of the config, but its loss and classifier.
    "ecapa": Trained(
        "ECAPA-TDNN (SpeechBrain)",
        "task2_conformer",
        ("model.classifier={kind: cosine, scale: 30}", "train.loss={kind: aam_softmax, margin: 0.2}", ALONE),
        Ecapa,
        "speechbrain",
    ),
    "conformer": Trained(
        "Conformer (torchaudio)",
        "task2_conformer",
        (
            "model.encoder={kind: conformer, num_layers: 2, nhead: 4, dim_feedforward: 192}",
            "model.classifier=linear",
            ALONE,
        ),
        make_torchaudio_conformer,
    ),
    "resemblyzer": Untrained("Resemblyzer", "resemblyzer"),
    "small": Trained("small", "small"),
    "few_minutes": Trained("few_minutes", "few_minutes", FEW_MINUTES),
    "few_minutes_means": Trained("few_minutes, means kept", "few_minutes", (*FEW_MINUTES, MEANS_KEPT)),
}

BY_DEFAULT = tuple(CONTESTANTS)

_MARGIN = "train.loss={kind: aam_softmax, margin: 0.2}"
_COSINES = "model.classifier={kind: cosine, scale: 30, batch_norm: true}"
_INTO_OURS: dict[str, tuple[str, tuple[str, ...], MakeModel]] = {
    "narrow": ("pools the encoder's 96 channels", (), SpeakerClassifier),
    "adamw": ("AdamW", ("train.optimizer=adamw",), SpeakerClassifier),
    "crops": ("crops of 128", ("train.crop_frames=128",), SpeakerClassifier),
    "d256": ("256 channels", ("model.d_model=256", "model.encoder.dim_feedforward=512"), SpeakerClassifier),
    "blocks": ("three blocks", ("model.encoder.num_layers=3",), SpeakerClassifier),
    "aggregation": (
        "three blocks, all pooled",
        ("model.encoder.num_layers=3", "model.encoder.concat_layers=true"),
        SpeakerClassifier,
    ),
    "all-frames": ("no subsampling", ("model.subsampling=1",), SpeakerClassifier),
    "margin": ("cosines and AAM", (_COSINES, _MARGIN), SpeakerClassifier),
    "attention": ("attentive statistics", ("model.pooling=attentive_statistics",), SpeakerClassifier),
    "squeeze": ("squeeze and excitation", (), changed(squeeze)),
    "batch-norms": ("BatchNorm for LayerNorm", (), changed(batch_norms)),
    "wide": ("pools 384 channels", (_WIDE,), SpeakerClassifier),
    "wide-norm": ("… with BatchNorm", (_WIDE,), changed(wide_norm)),
    "wide-context": ("… by attention with context", (_WIDE,), changed(context_pooling)),
    "wide-crops": ("… of crops of 128", (_WIDE, "train.crop_frames=128"), SpeakerClassifier),
    "wide-768": ("pools 768 channels", ("model.pooling_width=768",), SpeakerClassifier),
    "wide-1536": ("pools 1,536 channels", ("model.pooling_width=1536",), SpeakerClassifier),
}
_OUT_OF_ECAPA: dict[str, tuple[str, tuple[str, ...], MakeModel]] = {
    "128": ("128 channels for 512", (), make_ecapa(128)),
    "64": ("64 channels", (), make_ecapa(64)),
    "64-narrow": ("… pools 64 channels", (), make_ecapa(64, pooled=64)),
    "64-no-squeeze": ("… no squeeze and excitation", (), make_ecapa(64, squeezes=False)),
    "64-no-aggregation": ("… last block alone", (), make_ecapa(64, aggregates=False)),
    "64-no-attention": ("… plain statistics", (), make_ecapa(64, attends=False)),
}
_ECAPA = CONTESTANTS["ecapa"]
assert isinstance(_ECAPA, Trained)
# Only in tables on request.
CONTESTANTS |= {
    f"few_minutes-{name}": Trained(f"few_minutes, {title}", "few_minutes", (*FEW_MINUTES, *overrides), make_model)
    for name, (title, overrides, make_model) in _INTO_OURS.items()
}
CONTESTANTS |= {
    f"ecapa-{name}": Trained(
        f"ECAPA-TDNN, {title}", _ECAPA.config, (*_ECAPA.overrides, *overrides), make_model, _ECAPA.needs
    )
    for name, (title, overrides, make_model) in _OUT_OF_ECAPA.items()
}


def available(names: Sequence[str] | None) -> list[str]:
    """Contestants that can run; prints a line for each one that cannot.

    Args:
        names: requested contestants; by default `BY_DEFAULT`.

    Raises:
        UserError: a requested one needs a package that is not installed.
    """
    present = []
    for name in names or BY_DEFAULT:
        needs = CONTESTANTS[name].needs
        if needs is None or importlib.util.find_spec(needs):
            present.append(name)
            continue
        reason = f"{name}: needs {needs}, which is not installed; pip install -e '.[compare]'"
        if names:
            raise UserError(reason)
        print(f"left out: {reason}")
    return present


def check_names(option: str, names: Iterable[str] | None, known: Collection[str]) -> None:
    """Check the names given to an option, after the imports that define them.

    Raises:
        UserError: a name is unknown.
    """
    for name in names or ():
        if name not in known:
            raise UserError(f"{option}: found {name}, expected one of {', '.join(known)}")


def takes_part(name: str, spec: CorpusSpec) -> bool:
    """Whether a contestant can run on a corpus: a pretrained encoder needs sound, which cannot be equalized."""
    return not (spec.equalize and name == "resemblyzer")


def best_model(contestant: Trained, config: Config, corpus: Corpus, checkpoint: Path) -> nn.Module:
    """Model of a finished training, with the weights of its best checkpoint."""
    sizes = corpus.features.n_mels, len(corpus.speakers), corpus.extra_classes
    model = contestant.make_model(config.model, *sizes)
    model.load_state_dict(Checkpoint.load(checkpoint).inference_weights)
    return model


def config_of(
    contestant: Trained, root: Path, run_dir: Path, seed: int, steps: int, settings: Sequence[str] = ()
) -> Config:
    """Settings of one run: the contestant's, with this corpus, seed and number of steps, and further overrides."""
    path = CONFIGS / f"{contestant.config}.yaml"
    return load_config(path, [*contestant.overrides, *run_overrides(root, run_dir, seed, steps), *settings])


def run_overrides(root: Path, run_dir: Path, seed: int, steps: int) -> list[str]:
    """Overrides for one run of any config, with this corpus, seed and number of steps."""
    valid_steps = -(-steps // VALIDATIONS)
    return [
        f"run_dir={run_dir}",
        f"seed={seed}",
        "device=cpu",
        f"data.root={root}",
        "data.split=session",
        f"data.valid_fraction={LAST_SESSION}",
        f"train.total_steps={steps}",
        f"train.warmup_steps={round(WARM_UP * steps)}",
        f"train.valid_steps={valid_steps}",
        f"train.log_steps={valid_steps}",  # so that the lines of the log cover all steps
        f"train.save_steps={steps}",
        "train.rollbacks=3",
    ]

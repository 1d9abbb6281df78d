"""Train several models on the same recordings, with the same seeds and steps, and print one table.

  python scripts/compare.py RECORDINGS OUT --steps 600 --seeds 0 1 2

RECORDINGS holds a folder per speaker. It is prepared twice, raw and channel-equalised; each speaker's last 30 % are the
test data, 10 % before them validate. Every run keeps its best checkpoint on the validation part; the test data are
read once, at the end of each run. Runs that are in OUT/results.jsonl already are not repeated.
"""

import argparse
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from speakerid.cli import exit_with
from speakerid.config import FeatureConfig, load_config
from speakerid.corpus.check import open_corpus
from speakerid.corpus.parallel import parallel_map
from speakerid.corpus.prepare import Options, prepare
from speakerid.evaluation.evaluate import evaluate
from speakerid.model_config import ModelConfig, TransformerConfig
from speakerid.models.classifier import SpeakerClassifier
from speakerid.models.summary import unique_parameters
from speakerid.recognition.evaluation import labelled_parts, test_part
from speakerid.training.checkpoint import Checkpoint
from speakerid.training.run import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MODELS = {"course sample": "course_sample", "Task 1": "task1_transformer", "Task 2": "task2_conformer"}
VARIANTS = {"raw": False, "equalised": True}
TEST_FRACTION = 0.3
VALID_FRACTION = 0.1 / (1 - TEST_FRACTION)
DURATIONS = {"1 s": 100, "2 s": 200, "whole": None}
FRAMES_PER_SECOND = 100


class TorchEncoder(nn.Module):
    """The course's encoder: PyTorch's own post-norm layers behind one another."""

    def __init__(self, config: TransformerConfig, d_model: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(d_model, config.nhead, config.dim_feedforward, config.dropout, batch_first=True)
            for _ in range(config.num_layers)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=None if mask is None else ~mask)
        return x


def make_course_sample(config: ModelConfig, n_mels: int, n_speakers: int, n_extra: int) -> SpeakerClassifier:
    assert isinstance(config.encoder, TransformerConfig)
    model = SpeakerClassifier(config, n_mels, n_speakers, n_extra)
    model.encoder = TorchEncoder(config.encoder, config.d_model)
    return model


@dataclass(frozen=True)
class Job:
    model: str
    variant: str
    seed: int


def run(job: Job, out: Path, steps: int) -> dict[str, Any]:
    """Train, and read the test data once."""
    corpus_root = out / job.variant
    run_dir = out / "runs" / f"{MODELS[job.model]}-{job.variant}-{job.seed}"
    run_dir.mkdir(parents=True, exist_ok=True)
    overrides = [
        f"run_dir={run_dir}",
        f"seed={job.seed}",
        f"data.root={corpus_root}",
        f"data.valid_fraction={VALID_FRACTION}",
        f"train.total_steps={steps}",
        f"train.warmup_steps={steps // 10}",
        f"train.valid_steps={max(1, steps // 4)}",
        f"train.save_steps={steps}",
    ]
    config = load_config(CONFIGS / f"{MODELS[job.model]}.yaml", overrides)
    make_model = make_course_sample if job.model == "course sample" else SpeakerClassifier
    with (run_dir / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        result = train(config, resume=(run_dir / "last.pt").exists(), make_model=make_model)
        corpus, store = open_corpus(corpus_root)
        model = make_model(config.model, corpus.features.n_mels, len(corpus.speakers), 0)
        model.load_state_dict(Checkpoint.load(result.run.best).recognising)
        train_part, _ = labelled_parts(corpus, store, config)
        rows = evaluate(
            [model],
            train_part,
            test_part(*open_corpus(corpus_root, "test")),
            list(DURATIONS.values()),
            config.data.frames_per_batch,
            FRAMES_PER_SECOND,
        )
    return {
        **vars(job),
        "steps": steps,
        "parameters": unique_parameters(model),
        "valid": result.best_accuracy,
        **{row.duration: row.macro_accuracy for row in rows},
        **{f"linear {row.duration}": row.baseline for row in rows},
    }


def table(results: Iterable[dict[str, Any]]) -> str:
    """Markdown: macro accuracy on the test data in per cent, mean ± standard deviation over the seeds."""
    lines = [f"| corpus | model | parameters | {' | '.join(DURATIONS)} |", "|---|---|---|" + "---|" * len(DURATIONS)]
    results = list(results)
    for variant in VARIANTS:
        of_variant = [result for result in results if result["variant"] == variant]
        for model in MODELS:
            runs = [result for result in of_variant if result["model"] == model]
            if runs:
                cells = " | ".join(_spread([run[duration] for run in runs]) for duration in DURATIONS)
                lines.append(f"| {variant} | {model} | {runs[0]['parameters']:,} | {cells} |")
        if of_variant:
            cells = " | ".join(f"{100 * of_variant[0][f'linear {duration}']:.1f}" for duration in DURATIONS)
            lines.append(f"| {variant} | linear baseline | | {cells} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{deviation}"


def compare() -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("recordings", type=Path, help="a folder per speaker")
    parser.add_argument("out", type=Path, help="folder for corpora, runs and results")
    parser.add_argument("--steps", type=int, default=600, help="of every run (default 600)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="default: both")
    parser.add_argument("--workers", type=int, help="runs at a time, each on one thread (default: one a core)")
    options = parser.parse_args()
    for variant in options.variants:
        if not (options.out / variant).exists():
            features = FeatureConfig(equalise=VARIANTS[variant])
            prepare(options.recordings, options.out / variant, Options(features=features, test_fraction=TEST_FRACTION))
        open_corpus(options.out / variant)  # packed here, once, and not by every worker
        open_corpus(options.out / variant, "test")
    results_path = options.out / "results.jsonl"
    lines = results_path.read_text().splitlines() if results_path.exists() else []
    results = [json.loads(line) for line in lines]
    done = {(result["model"], result["variant"], result["seed"], result["steps"]) for result in results}
    wanted = [Job(*names) for names in product(options.models, options.variants, options.seeds)]
    jobs = [job for job in wanted if (job.model, job.variant, job.seed, options.steps) not in done]
    for result in parallel_map(
        partial(run, out=options.out, steps=options.steps), jobs, "Compare", "runs", options.workers
    ):
        results.append(result)
        with results_path.open("a") as file:
            file.write(json.dumps(result) + "\n")
    print(table(result for result in results if result["steps"] == options.steps))
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    exit_with(compare)

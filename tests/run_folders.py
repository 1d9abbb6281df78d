"""Simulated run folders."""

import json
from pathlib import Path

import yaml

from speakerid.training.runs import Run, read_run

TOTAL = 40


def write_run(path: Path, *records: dict[str, object], total: object = TOTAL, **more: object) -> Path:
    """Write a folder as a run would."""
    path.mkdir(parents=True)
    model = {"encoder": {"kind": "conformer"}, "classifier": "batchnorm"}
    config = {"run_dir": str(path), "model": model, "train": {"total_steps": total}, **more}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (path / "last.pt").touch()
    return path


def trained(step: int, loss: float = 1.0, **more: object) -> dict[str, object]:
    return {"step": step, "part": "train", "accuracy": 0.5, "loss": loss, "learning_rate": 0.1, **more}


def validated(step: int, accuracy: float = 0.5) -> dict[str, object]:
    return {"step": step, "part": "valid", "accuracy": accuracy, "macro_accuracy": accuracy, "loss": 1.0}


def rolled_back(step: int, from_step: int) -> dict[str, object]:
    return {
        "step": step, "part": "rollback", "from_step": from_step, "reason": "loss", "learning_rate_factor": 0.5
    }  # fmt: skip


def read(path: Path) -> Run:
    return read_run(path, path.parent)

"""The demonstration corpus is neither trivial nor hopeless, and all of its steps work."""

from pathlib import Path

import pytest
import torch

from speakerid.config import load_config
from speakerid.demo.corpus import write_demo_corpus
from speakerid.evaluation.checkpoints import evaluate_checkpoints
from speakerid.training.run import train

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_line_fails_where_the_conformer_succeeds(tmp_path: Path) -> None:
    """On sessions that neither was trained on, with the settings and the corpus of `make demo`."""
    write_demo_corpus(tmp_path / "corpus")
    overrides = [f"data.root={tmp_path / 'corpus'}", f"run_dir={tmp_path / 'run'}"]
    best = train(load_config(ROOT / "configs" / "demo.yaml", overrides)).run.best
    rows = [evaluate_checkpoints([best], None, part, [], torch.device("cpu"))[0] for part in ("valid", "test")]
    assert all(row.baseline < 0.6 for row in rows)
    assert all(row.baseline > 0.1 for row in rows)
    assert all(row.accuracy > 0.85 for row in rows)

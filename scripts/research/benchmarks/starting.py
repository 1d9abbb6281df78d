"""Measure the time from the command to the first training step, with a corpus of HW4's size."""

import subprocess
import sys
import tempfile
from pathlib import Path

from result_tables import markdown

from .measuring import middle, ratio
from .memory import write_random_corpus
from .revisions import RESEARCH, ROOT, environment, write_format_1, write_revision

SCRIPT = RESEARCH / "benchmarks" / "first_step.py"


def benchmark(rounds: int, utterances: int, against: str | None = None) -> str:
    """Table of median times; each start is a new process, with the files in the system's cache.

    Args:
        rounds: number of starts of each.
        utterances: number of utterances in the corpus.
        against: git revision to compare with.

    Raises:
        UserError: the revision is unknown.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {"ours": ROOT}
        if against:
            sources[against] = folder / "earlier"
            write_revision(against, sources[against])
        write_random_corpus(folder / "corpus", utterances)
        corpora = {"ours": folder / "corpus"}
        if against:
            corpora[against] = write_format_1(folder / "corpus", folder / "format_1")
        torch: list[float] = []
        starts: dict[str, list[list[float]]] = {side: [] for side in sources}
        for turn in range(rounds):
            torch.append(_seconds(ROOT)[0])
            for side in list(sources)[:: -1 if turn % 2 else 1]:
                config = sources[side] / "configs" / "task2_conformer.yaml"
                starts[side].append(_seconds(sources[side], config, corpora[side], folder / f"{turn} {side}"))
            print(f"round {turn + 1} of {rounds}", file=sys.stderr)
    rows = [["`import torch`", middle(torch, "s"), middle([1.0] * rounds)]]
    for side, found in starts.items():
        for title, seconds in zip(("to", "through"), zip(*found, strict=True), strict=True):
            of = "" if side == "ours" else f", {side}"
            rows.append([f"{title} the first step{of}", middle(seconds, "s"), ratio(seconds, torch)])
    return markdown(["", "time since the command", "time / time of `import torch`"], rows)


def _seconds(source: Path, *arguments: Path) -> list[float]:
    """What `first_step.py` prints with the sources of a revision."""
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(source))
    return [float(value) for value in done.stdout.split()[-2:]]

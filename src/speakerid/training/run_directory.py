"""Everything a run writes: settings, metrics, TensorBoard scalars, curves, checkpoints."""

import json
from pathlib import Path
from typing import Any

import yaml

from speakerid.config import Config
from speakerid.errors import UserError
from speakerid.files import atomic_file


class RunDirectory:
    """The folder of one run.

    Args:
        path: the folder.
        resume: go on with the run that is there.

    Raises:
        UserError: the folder holds a run and `resume` is false, or holds none to resume.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.best = path / "best.pt"
        self.last = path / "last.pt"
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"
        if resume and not self.last.exists():
            raise UserError(f"{self.last}: no such checkpoint to resume from; start the run without --resume")
        if not resume and (self.last.exists() or self.best.exists() or self.metrics.exists()):
            raise UserError(
                f"{path}: already holds a run; go on with it by --resume, choose another run_dir, or delete the folder"
            )

    def begin(self, config: Config, step: int) -> None:
        """Write the settings, and log from `step` on; lines that an interrupted run wrote beyond it are dropped."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import, which --help need not

        kept = [json.dumps(record) for record in self.records() if record["step"] <= step]
        with atomic_file(self.path / "config.yaml") as partial:
            partial.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        with atomic_file(self.metrics) as partial:
            partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def log(self, part: str, step: int, **scalars: float) -> None:
        """One line of metrics.jsonl, and the same scalars for TensorBoard."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "part": part, **scalars}) + "\n")
        except OSError as error:
            raise UserError(f"{self.metrics}: cannot be written: {error.strerror}; make room, then --resume") from error
        for name, value in scalars.items():
            self._board.add_scalar(f"{part}/{name}", value, step)

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last one torn by a crash is left out."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def draw_curves(self) -> None:
        """Loss and accuracy over the steps, as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second to import
        from matplotlib.figure import Figure

        records = self.records()
        figure = Figure(figsize=(9, 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            for part, style in (("train", "-"), ("valid", "o-")):
                points = [(record["step"], record[name]) for record in records if record["part"] == part]
                if points:
                    axes.plot(*zip(*points, strict=True), style, label=part, markersize=4)
            axes.set(xlabel="step", ylabel=name)
            axes.grid(alpha=0.3)
            axes.legend()
        figure.suptitle(str(self.path))
        with atomic_file(self.curves) as partial:
            figure.savefig(partial, format="png", dpi=120)

    def close(self) -> None:
        """Flush what TensorBoard holds back."""
        self._board.close()

"""Plots of runs."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from run_folders import read, rolled_back, trained, validated, write_run
from speakerid.base.errors import UserError
from speakerid.training.metrics_log import read_log
from speakerid.training.run_directory import RunDirectory
from speakerid.training.runs import Run
from speakerid.training.runs_plot import SHOWN, plot_runs

BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def write_runs(folder: Path, count: int, steps: int = 30) -> list[Run]:
    """Write runs, the best first; run k reaches an accuracy of 1 / (k + 1)."""
    return [
        read(write_run(
            folder / f"run{k}",
            *(trained(step, 5 - step / steps) for step in range(1, steps + 1)),
            *(validated(step, step / steps / (k + 1)) for step in (steps // 2, steps)),
        ))
        for k in range(count)
    ]  # fmt: skip


def plot(runs: Sequence[Run], path: Path) -> None:
    plot_runs({run.name: read_log(run.path) for run in runs}, "runs", path)


def words(runs: Sequence[Run], path: Path) -> list[str]:
    """Text of the figure, from the comments of its SVG."""
    plot(runs, path)
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("suffix", [*BEGINNINGS, ".PNG"])
@pytest.mark.parametrize("count", [1, 3])
def test_every_format_is_written_whole(tmp_path: Path, suffix: str, count: int) -> None:
    runs = write_runs(tmp_path / "runs", count)
    path = tmp_path / "new" / f"plot{suffix}"
    plot(runs, path)
    assert path.read_bytes().startswith(BEGINNINGS[suffix.lower()])
    assert list(path.parent.iterdir()) == [path]


def test_an_earlier_figure_stays_where_the_next_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(tmp_path / "runs", 1)
    path = tmp_path / "plots" / "plot.png"
    path.parent.mkdir()
    path.write_text("earlier")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"plot\.png: cannot be written: No space left"):
        plot(runs, path)
    assert [file.read_text() for file in path.parent.iterdir()] == ["earlier"]


def test_it_says_what_it_shows(tmp_path: Path) -> None:
    text = words(write_runs(tmp_path / "runs", 3, steps=300), tmp_path / "plot.svg")
    for expected in (
        "3 runs in runs", "step", "loss", "accuracy", "training, mean over 6 steps", "validation",
        "best validation accuracy", "1.0000  run0", "0.5000  run1", "0.3333  run2",
    ):  # fmt: skip
        assert expected in text
    assert text.count("step") == 2


def test_both_axes_show_training_and_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    records = [trained(1, 3.0), trained(2, 2.0), validated(2, 0.75), trained(3), validated(3, 1.0)]
    plot([read(write_run(tmp_path / "run", *records))], tmp_path / "plot.svg")
    points = [[line.get_xydata() for line in axes.lines[:2]] for axes in drawn[0].axes]
    assert np.array_equal(points[0][0], [(1, 3.0), (2, 2.0), (3, 1.0)])
    assert np.array_equal(points[0][1], [(2, 1.0), (3, 1.0)])
    assert np.array_equal(points[1][0], [(1, 0.5), (2, 0.5), (3, 0.5)])
    assert np.array_equal(points[1][1], [(2, 0.75), (3, 1.0)])


def test_many_runs_are_named_up_to_ten(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", SHOWN + 3)
    text = words(runs, tmp_path / "plot.svg")
    assert "13 runs in runs, the best 10 in color" in text
    assert [line for line in text if re.search(r"run\d", line)] == [
        f"{run.best_accuracy:.4f}  {run.name}" for run in runs[:SHOWN]
    ]
    assert "3 others" in text


@pytest.mark.usefixtures("curves")
def test_no_axis_of_shares_runs_past_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    run = write_run(tmp_path / "run", trained(1), trained(2), validated(1, 0.0), validated(2, 1.0))
    plot_runs({"run": read_log(run)}, tmp_path, str(tmp_path / "plot.svg"))
    RunDirectory(str(run), resume=True).draw_curves()
    for figure in drawn:
        accuracy = next(axes for axes in figure.axes if "accuracy" in axes.get_ylabel())
        assert accuracy.get_ylim() == (0, 1)
    assert len(drawn) == 2


def styles(runs: Sequence[Run], path: Path) -> list[tuple[str, bool]]:
    """Color and whether it is dashed, of every line of the accuracy axes."""
    plot(runs, path)
    (axes,) = re.findall(r'<g id="axes_1">.*?<g id="axes_2">', path.read_text(encoding="utf-8"), re.DOTALL)
    lines = re.findall(r'clip-path="[^"]*" style="fill: none; (.*?)"', axes)
    lines = [style for style in lines if "stroke-width: 1.4" in style]
    assert len(lines) == len(runs)
    return [(re.findall(r"stroke: (#\w+)|$", style)[0], "dasharray" in style) for style in lines]


def test_ten_runs_are_all_distinguishable(tmp_path: Path) -> None:
    assert len(set(styles(write_runs(tmp_path / "runs", 10), tmp_path / "plot.svg"))) == 10


def test_odd_runs_are_drawn_too(tmp_path: Path) -> None:
    """Names that matplotlib would read as formulas or omit from legends, single points, divergence, empty runs."""
    folder = tmp_path / "runs"
    runs = [
        read(write_run(folder / "_hidden", validated(2, 0.5))),
        read(write_run(folder / r"$\foo$", trained(2, 5.0))),
        read(write_run(folder / "line\nbreak", trained(2, float("nan")), trained(4, 4.0), validated(4, float("nan")))),
        read(write_run(folder / "diverged", trained(2, 5.0), trained(4, 1e300), trained(6, float("inf")))),
        read(write_run(folder / ("long/" * 40), trained(2, 0.0))),
        read(write_run(folder / "begun")),
        read(write_run(folder / "rolled back", trained(2, 5.0), trained(4, 5.0), rolled_back(2, 4))),
        read(write_run(folder / "backwards", *(trained(step) for step in (50, 9, 2, 30, 1)))),
    ]
    text = words(runs, tmp_path / "plot.svg")
    assert "7 runs in runs" in text
    assert "0.5000  _hidden" in text
    assert r"no validation  $\\foo$" in text
    assert r"no validation  line\nbreak" in text


def test_errors_come_before_anything_is_written(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", 1)
    with pytest.raises(UserError, match=r"plot\.jpg: found the format '\.jpg', expected one of \.png, \.svg, \.pdf"):
        plot(runs, tmp_path / "plot.jpg")
    with pytest.raises(UserError, match="runs: nothing to plot"):
        plot([read(write_run(tmp_path / "begun"))], tmp_path / "plot.png")
    assert not list(tmp_path.glob("plot*"))

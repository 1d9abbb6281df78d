"""Draw a learning curve with its predictions."""

from pathlib import Path
from typing import TYPE_CHECKING

from speakerid.base.files import atomic_file
from speakerid.base.html import Inks, save_png
from speakerid.base.palette import COLORS
from speakerid.evaluation.recording_plan import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(plan: Plan, path: Path) -> None:
    """Write a PNG file: identified over minutes per speaker, a line for each number of days, predictions as crosses.

    Raises:
        UserError: the file cannot be written.
    """

    def curves(axes: "Axes", inks: Inks) -> None:
        for number, days in enumerate(sorted({row.amount.days for row in plan.measured})):
            rows = [row for row in plan.measured if row.amount.days == days]
            color = COLORS[number % len(COLORS)]
            minutes = [row.amount.days * row.amount.each * plan.recording_seconds / 60 for row in rows]
            axes.plot(minutes, [100 * row.accuracy for row in rows], "o-", color=color, label=_days(days), markersize=4)
            axes.fill_between(
                minutes, [100 * row.low for row in rows], [100 * row.high for row in rows], color=color, alpha=0.12,
                linewidth=0,
            )  # fmt: skip
        for marker, row in zip("sD^", plan.predicted, strict=False):
            minute = row.amount.days * row.amount.each * plan.recording_seconds / 60
            errors = [[100 * (row.accuracy - row.low)], [100 * (row.high - row.accuracy)]]
            axes.errorbar(
                [minute], [100 * row.accuracy], [[max(0.0, one[0])] for one in errors], fmt=marker, color=inks.ink,
                capsize=3, markerfacecolor="none", label=row.label,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("minutes per speaker")
        axes.set_ylabel("identified, %")
        axes.legend(fontsize=7, frameon=False)

    with atomic_file(path) as partial:
        save_png(partial, "How much to record", curves, (6.4, 4.0))


def _days(count: int) -> str:
    return f"{count} {'day' if count == 1 else 'days'}"

"""Tables of results: macro accuracy, its standard deviation over seeds, and bootstrap intervals.

Shapes: R runs of a contestant (seeds), N test utterances, S speakers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from result_tables import DASH, cell, markdown

RESAMPLES = 2000
"""Number of bootstrap resamples."""

Result = dict[str, Any]


def correctness(digits: str, count: int) -> NDArray[np.bool_]:
    """(count,) whether each utterance was identified, from the hexadecimal digits of a result."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8), count=count).astype(bool)


def macro(correct: NDArray[np.bool_], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """(R,) macro accuracies, averaged over speakers, of (R, N) results.

    Args:
        correct: (R, N) whether each utterance was identified, in each run.
        truth: (N,) speakers.
    """
    return correct @ _weights(truth)


def _weights(truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) weight of every utterance in a macro accuracy."""
    counts = np.bincount(truth)
    return 1 / (counts[truth] * np.count_nonzero(counts))


def bootstrap_interval(
    correct: NDArray[np.bool_], truth: NDArray[np.integer], resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean macro accuracy over runs and utterances (Efron, 1979).

    Runs, and each speaker's utterances, are drawn with replacement; the speakers stay.

    Args:
        correct: (R, N) whether each utterance was identified, in each run.
        truth: (N,) speakers.
        resamples: number of resamples.
    """
    rng = np.random.default_rng(0)
    order = np.argsort(truth, kind="stable")
    correct, truth = correct[:, order], truth[order]
    counts, weights = np.bincount(truth), _weights(truth)
    starts = np.cumsum(counts) - counts
    means = np.empty(resamples)
    for resample in range(resamples):
        runs = rng.integers(len(correct), size=len(correct))
        utterances = starts[truth] + rng.integers(counts[truth])
        means[resample] = (correct[:, utterances] @ weights)[runs].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(
    results: Iterable[Result], truth: NDArray[np.integer], durations: Sequence[str], absent: Sequence[str] = ()
) -> str:
    """Markdown table with a row per title, in the order of the results, and accuracies in percent.

    Args:
        results: results on one corpus; see `comparison.runs.Outcome`, with `correct` in hexadecimal digits.
        truth: (N,) speakers of the test utterances.
        durations: columns.
        absent: titles of models that could not run, for rows of dashes.
    """
    titles = ["model", "parameters", "steps", "training s", "utterances/s", *durations]
    rows = []
    for title, runs in _by_title(results).items():
        whole = [run for run in runs if "failed" not in run]
        name = title if len(whole) == len(runs) else f"{title} ({len(runs) - len(whole)} of {len(runs)} failed)"
        rows.append([name, *_figures(whole), *(_accuracy(whole, truth, duration) for duration in durations)])
    rows += [[title, *[DASH] * (len(titles) - 1)] for title in absent]
    return markdown(titles, rows)


def overview(corpora: Mapping[str, tuple[Iterable[Result], NDArray[np.integer]]], duration: str) -> str:
    """Markdown table with a row per title and a column per corpus, mean ± standard deviation in percent.

    Args:
        corpora: results and (N,) speakers of the test utterances, by the name of the corpus.
        duration: duration of the utterances.
    """
    cells: dict[str, dict[str, str]] = {}
    for corpus, (results, truth) in corpora.items():
        for title, runs in _by_title(results).items():
            whole = [run for run in runs if "failed" not in run]
            cells.setdefault(title, {})[corpus] = cell(*_spread(whole, truth, duration)) if whole else DASH
    rows = [[title, *(of_corpus.get(corpus, DASH) for corpus in corpora)] for title, of_corpus in cells.items()]
    return markdown(["model", *corpora], rows)


def _by_title(results: Iterable[Result]) -> dict[str, list[Result]]:
    by_title: dict[str, list[Result]] = {}
    for result in results:
        by_title.setdefault(result["title"], []).append(result)
    return by_title


def _figures(runs: Sequence[Result]) -> list[str]:
    """Parameters, steps, seconds and utterances per second, as means over the runs."""
    formats: dict[str, Callable[[float], str]] = {
        "parameters": "{:,.0f}".format,
        "steps": "{:,.0f}".format,
        "seconds": "{:.1f}".format,
        "rate": "{:.0f}".format,
    }
    cells = []
    for name, form in formats.items():
        values = [run[name] for run in runs if run[name] is not None]
        cells.append(form(sum(values) / len(values)) if values else DASH)
    return cells


def _accuracy(runs: Sequence[Result], truth: NDArray[np.integer], duration: str) -> str:
    """Mean ± standard deviation over the runs, and the interval."""
    if not runs:
        return DASH
    low, high = bootstrap_interval(_correct(runs, truth, duration), truth)
    return cell(*_spread(runs, truth, duration), (100 * low, 100 * high))


def _spread(runs: Sequence[Result], truth: NDArray[np.integer], duration: str) -> tuple[float, float | None]:
    """Mean and standard deviation over the runs, in percent."""
    accuracies = (100 * macro(_correct(runs, truth, duration), truth)).tolist()
    return mean(accuracies), stdev(accuracies) if len(runs) > 1 else None


def _correct(runs: Sequence[Result], truth: NDArray[np.integer], duration: str) -> NDArray[np.bool_]:
    """(R, N) whether each utterance was identified, in each run."""
    return np.stack([correctness(run["correct"][duration], len(truth)) for run in runs])

"""Evaluate a bundle, with its own thresholds and probabilities, on the test utterances and strangers of a corpus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.evaluation.embedding_map import embedding_map
from speakerid.evaluation.measures import (
    ScoredPairs,
    confusions,
    identification_row,
    verification_row,
)
from speakerid.evaluation.results import (
    ACCEPTED,
    BY_SESSION,
    IDENTIFICATION,
    IDENTIFIED,
    MISSED,
    NAMED_STRANGERS,
    PROMISED_IDENTIFIED,
    PROMISED_STRANGERS,
    VERIFICATION,
    EmbeddingMap,
    Estimate,
    Measure,
    Results,
    Row,
    Table,
)
from speakerid.evaluation.scored_test_set import ScoredTestSet, check_cohort, unit
from speakerid.evaluation.sufficiency import NotMeasured, no_trials
from speakerid.evaluation.test_set import TestSet
from speakerid.evaluation.trials import Pairs
from speakerid.metrics.bootstrap import RESAMPLES
from speakerid.metrics.calibration import Reliability
from speakerid.metrics.detection import det_curve
from speakerid.metrics.open_set import open_set_curve
from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.bundle import Bundle

DURATIONS = (0.5, 1.0, 2.0, 4.0)
"""Durations that utterances are cut to, in seconds, besides whole ones."""
WHOLE = "whole"
SAME_PRINT = 0.9999
"""Lowest cosine at which two voice prints are of one recording, one of them rounded to half precision."""


def evaluate_bundle(
    path: StrPath,
    data: StrPath,
    seconds: Sequence[float] = DURATIONS,
    trials: StrPath | None = None,
    as_norm: bool = False,
    resamples: int = RESAMPLES,
) -> Results:
    """Evaluate a bundle on a corpus.

    Args:
        path: file of the bundle.
        data: folder of the corpus.
        seconds: durations, besides whole utterances.
        trials: list of trials to evaluate besides the drawn ones.
        as_norm: also normalize the scores of whole utterances by the bundle's other speakers.
        resamples: number of bootstrap resamples for the intervals.

    Raises:
        UserError: the bundle, the corpus or the list cannot be read, or they do not belong together.
    """
    path, data = Path(path), Path(data)
    bundle = Bundle.load(path)
    if as_norm:
        check_cohort(bundle)
    test_set = TestSet.open(path, bundle, data)
    listed = {Path(trials).name: test_set.listed(Path(trials))} if trials else {}
    scored_sets = _scored_sets(bundle, test_set, seconds)
    _check_finite(path, data, scored_sets)
    whole = scored_sets[WHOLE]
    missing = no_trials(test_set.pairs.targets)
    pairs = {} if missing else {name: one.scored_pairs(test_set.pairs) for name, one in scored_sets.items()}
    pairs |= {name: whole.scored_pairs(some) for name, some in listed.items()}
    identified = _identification(scored_sets, as_norm, resamples)
    verified = _verification(whole, pairs, listed, as_norm, resamples)
    laid_out = embedding_map(whole.prints, test_set.profile_indices, bundle.profiles.names)
    return Results(
        f"{path.name} on {data.name}",
        (
            *_facts(bundle, test_set),
            *_not_measured({"Trials of two utterances": missing, "Map of embeddings": laid_out}),
        ),
        tuple(table for table in (*identified, verified) if table.rows),
        {name: det_curve(some.scores, some.targets) for name, some in pairs.items()},
        _point(verified, ACCEPTED, MISSED),
        {} if test_set.known.all() else {n: open_set_curve(one.decided.answers) for n, one in scored_sets.items()},
        _point(identified[0], NAMED_STRANGERS, IDENTIFIED),
        confusions(test_set.profile_indices[test_set.known], whole.scored.known.argmax(1), bundle.profiles.names),
        _reliability(whole, pairs.get(WHOLE)),
        laid_out if isinstance(laid_out, EmbeddingMap) else None,
    )


def _scored_sets(bundle: Bundle, test_set: TestSet, seconds: Sequence[float]) -> dict[str, ScoredTestSet]:
    """Scores by the bundle, by the duration that utterances are cut to; whole ones last."""
    durations = {f"{duration:g} s": duration for duration in seconds}
    return {name: ScoredTestSet.of(bundle, test_set, duration) for name, duration in {**durations, WHOLE: None}.items()}


def _check_finite(path: Path, data: Path, scored_sets: Mapping[str, ScoredTestSet]) -> None:
    for name, one in scored_sets.items():
        wrong = np.flatnonzero(~np.isfinite(one.scores).all(1))
        if len(wrong):
            raise UserError(
                f"{path}: found scores that are not finite for {len(wrong)} of {len(one.scores)} utterances of {data} "
                f"({name}), first {one.test_set.utterances.names[wrong[0]]}; check the corpus or export again"
            )


def _not_measured(parts: Mapping[str, object]) -> Iterator[str]:
    """A sentence for each part that could not be measured."""
    for what, found in parts.items():
        if isinstance(found, NotMeasured):
            yield f"{what}: {found}."


def _identification(scored_sets: Mapping[str, ScoredTestSet], as_norm: bool, resamples: int) -> tuple[Table, Table]:
    """Tables of identification by duration and by session."""
    promised = _promised(scored_sets[WHOLE].bundle)
    rows = [
        _with(identification_row(name, one.scored, one.decided, resamples), promised.get(name, {}))
        for name, one in scored_sets.items()
    ]
    whole = scored_sets[WHOLE]
    if as_norm:
        rows.append(identification_row(f"{WHOLE}, AS-norm", whole.normed, resamples=resamples))
    known = whole.test_set.known
    scored, decided = whole.scored, whole.decided
    by_session = [
        identification_row(name, scored.of(group[known]), decided.of(group[known]), resamples)
        for name, group in whole.test_set.session_groups().items()
    ]
    caption = (
        "Utterances, cut from their middle, against every speaker of the bundle; shorter ones are whole. "
        f" Strangers named and identified: by the bundle's own thresholds for {100 * FALSE_ACCEPTS:g} % of "
        "strangers named. Promised: what the bundle expects of them, by utterances of its own corpus. EER and minDCF: "
        "every utterance with every speaker is a trial of its score."
    )
    return (
        Table("Who is it?", caption, IDENTIFICATION, tuple(rows)),
        Table("Who is it, by session", "Whole utterances.", BY_SESSION, tuple(by_session)),
    )


def _promised(bundle: Bundle) -> dict[str, Mapping[Measure, float]]:
    """Error rates that the bundle expects, by the names of rows."""
    return {
        f"{one.seconds:g} s": {PROMISED_STRANGERS: one.false_accepts, PROMISED_IDENTIFIED: one.identified}
        for one in bundle.expected
    }


def _with(row: Row, values: Mapping[Measure, float]) -> Row:
    """Row with further figures, which have no intervals."""
    more = {measure: Estimate(value, math.nan, math.nan) for measure, value in values.items()}
    return replace(row, estimates={**row.estimates, **more})


def _verification(
    whole: ScoredTestSet, pairs: Mapping[str, ScoredPairs], listed: Mapping[str, Pairs], as_norm: bool, resamples: int
) -> Table:
    """Table of verification by duration, and on a list of trials."""
    everything = dict(pairs)
    if as_norm:
        drawn = {WHOLE: whole.test_set.pairs} if WHOLE in pairs else {}
        everything |= {f"{name}, AS-norm": whole.normed_pairs(some) for name, some in (drawn | dict(listed)).items()}
    speakers = whole.test_set.utterances.speakers
    rows = [verification_row(name, some, speakers, resamples) for name, some in everything.items()]
    caption = (
        "Two utterances, of known speakers or strangers, both cut from their middle; trials of one speaker + trials of "
        "two. Those of one speaker are of two sessions where they are known. False accepts and misses: by the bundle's "
        f"own thresholds for {100 * FALSE_ACCEPTS:g} % of false accepts."
    )
    return Table("Is it one speaker?", caption, VERIFICATION, tuple(rows))


def _point(table: Table, across: Measure, up: Measure) -> tuple[float, float] | None:
    """Two measures of whole utterances, if both were measured."""
    for row in table.rows:
        if row.name == WHOLE and {across, up} <= row.estimates.keys():
            return _value(row, across), _value(row, up)
    return None


def _value(row: Row, measure: Measure) -> float:
    return row.estimates[measure].value


def _reliability(whole: ScoredTestSet, pairs: ScoredPairs | None) -> dict[str, Reliability]:
    """Reliability on whole utterances: of names, if there are strangers, and of verdicts on pairs."""
    found = {}
    if (~whole.test_set.known).any():
        found["names"] = whole.decided.reliability()
    if pairs is not None and pairs.log_ratios is not None:
        found["pairs"] = pairs.reliability()
    return found


def _facts(bundle: Bundle, test_set: TestSet) -> tuple[str, ...]:
    """Sentences on what was evaluated on what, and what makes the figures optimistic."""
    known, speakers = test_set.known, test_set.utterances.speakers
    strangers = len(np.unique(speakers[~known]))
    facts = [
        f"{known.sum():,} utterances of {len(np.unique(speakers[known])):,} of the {len(bundle.profiles.names):,} "
        f"speakers that the bundle knows, and {(~known).sum():,} of {strangers:,} strangers."
    ]
    if not strangers:
        facts.append("Without strangers, the share that would be given a name is unknown (prepare --strangers N).")
    elif seen := _seen(bundle, test_set):
        facts.append(
            f"The bundle's thresholds were fitted on {seen:,} of these {(~known).sum():,} utterances of strangers, so "
            "their error rates at these thresholds are too optimistic."
        )
    return tuple(facts)


def _seen(bundle: Bundle, test_set: TestSet) -> int:
    """Number of utterances of strangers whose voice prints the bundle carries."""
    evidence = bundle.evidence[0]
    if not len(evidence.strangers):
        return 0
    prints = ScoredTestSet.of(bundle, test_set, evidence.seconds).prints[~test_set.known]
    carried = unit(evidence.strangers)
    return int(((prints @ carried.T).max(1) > SAME_PRINT).sum())

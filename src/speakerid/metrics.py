"""Measures of identification, verification and calibration: `from speakerid.metrics import det_curve, min_dcf`.

Functions of arrays; the names are imported on first use, since only the accuracies need torch.
"""

from typing import TYPE_CHECKING

from speakerid.lazy import lazy_names

if TYPE_CHECKING:
    from speakerid.evaluation.bootstrap import bootstrap_interval
    from speakerid.evaluation.calibration import Reliability, reliability
    from speakerid.evaluation.detection import (
        DetCurve,
        cllr,
        det_curve,
        equal_error_rate,
        error_rates,
        min_cllr,
        min_dcf,
    )
    from speakerid.evaluation.metrics import accuracy, macro_accuracy, wilson_interval
    from speakerid.evaluation.open_set import Answers, OpenSetCurve, open_set_curve, open_set_rates
    from speakerid.evaluation.score_norm import TopCohort, adaptive_s_norm

__all__ = [
    "Answers",
    "DetCurve",
    "OpenSetCurve",
    "Reliability",
    "TopCohort",
    "accuracy",
    "adaptive_s_norm",
    "bootstrap_interval",
    "cllr",
    "det_curve",
    "equal_error_rate",
    "error_rates",
    "macro_accuracy",
    "min_cllr",
    "min_dcf",
    "open_set_curve",
    "open_set_rates",
    "reliability",
    "wilson_interval",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Answers": "speakerid.evaluation.open_set:Answers",
        "DetCurve": "speakerid.evaluation.detection:DetCurve",
        "OpenSetCurve": "speakerid.evaluation.open_set:OpenSetCurve",
        "Reliability": "speakerid.evaluation.calibration:Reliability",
        "TopCohort": "speakerid.evaluation.score_norm:TopCohort",
        "accuracy": "speakerid.evaluation.metrics:accuracy",
        "adaptive_s_norm": "speakerid.evaluation.score_norm:adaptive_s_norm",
        "bootstrap_interval": "speakerid.evaluation.bootstrap:bootstrap_interval",
        "cllr": "speakerid.evaluation.detection:cllr",
        "det_curve": "speakerid.evaluation.detection:det_curve",
        "equal_error_rate": "speakerid.evaluation.detection:equal_error_rate",
        "error_rates": "speakerid.evaluation.detection:error_rates",
        "macro_accuracy": "speakerid.evaluation.metrics:macro_accuracy",
        "min_cllr": "speakerid.evaluation.detection:min_cllr",
        "min_dcf": "speakerid.evaluation.detection:min_dcf",
        "open_set_curve": "speakerid.evaluation.open_set:open_set_curve",
        "open_set_rates": "speakerid.evaluation.open_set:open_set_rates",
        "reliability": "speakerid.evaluation.calibration:reliability",
        "wilson_interval": "speakerid.evaluation.metrics:wilson_interval",
    },
)

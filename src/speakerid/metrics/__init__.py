"""Measures of identification, verification and calibration: `from speakerid.metrics import det_curve, min_dcf`.

Functions of arrays; the names are imported on first use, since only the accuracies need torch.
"""

from typing import TYPE_CHECKING

from speakerid.base.lazy import lazy_names

if TYPE_CHECKING:
    from speakerid.metrics.bootstrap import bootstrap_interval
    from speakerid.metrics.calibration import Reliability, reliability
    from speakerid.metrics.classification import accuracy, macro_accuracy, wilson_interval
    from speakerid.metrics.detection import (
        DetCurve,
        cllr,
        det_curve,
        equal_error_rate,
        error_rates,
        min_cllr,
        min_dcf,
    )
    from speakerid.metrics.open_set import Answers, OpenSetCurve, open_set_curve, open_set_rates
    from speakerid.metrics.score_norm import TopCohort, adaptive_s_norm

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
        "Answers": "speakerid.metrics.open_set:Answers",
        "DetCurve": "speakerid.metrics.detection:DetCurve",
        "OpenSetCurve": "speakerid.metrics.open_set:OpenSetCurve",
        "Reliability": "speakerid.metrics.calibration:Reliability",
        "TopCohort": "speakerid.metrics.score_norm:TopCohort",
        "accuracy": "speakerid.metrics.classification:accuracy",
        "adaptive_s_norm": "speakerid.metrics.score_norm:adaptive_s_norm",
        "bootstrap_interval": "speakerid.metrics.bootstrap:bootstrap_interval",
        "cllr": "speakerid.metrics.detection:cllr",
        "det_curve": "speakerid.metrics.detection:det_curve",
        "equal_error_rate": "speakerid.metrics.detection:equal_error_rate",
        "error_rates": "speakerid.metrics.detection:error_rates",
        "macro_accuracy": "speakerid.metrics.classification:macro_accuracy",
        "min_cllr": "speakerid.metrics.detection:min_cllr",
        "min_dcf": "speakerid.metrics.detection:min_dcf",
        "open_set_curve": "speakerid.metrics.open_set:open_set_curve",
        "open_set_rates": "speakerid.metrics.open_set:open_set_rates",
        "reliability": "speakerid.metrics.calibration:reliability",
        "wilson_interval": "speakerid.metrics.classification:wilson_interval",
    },
)

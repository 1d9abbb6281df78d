#!/bin/bash
# pyannote.metrics 4.2.0: the equal error rate of scores that are separated without an error is .25, for 4 trials and for
# 40,000 alike: binary_classification.det_curve averages the rates at the two points of roc_curve around the crossing,
# and roc_curve leaves out what lies between no false accept and nothing but false accepts.
# One would guess: 0, as no trial is on the wrong side.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyannote.metrics==4.2.0
"$folder/venv/bin/python" - <<'P'
import numpy as np
from pyannote.metrics.binary_classification import det_curve

def rate(targets, others):
    labels = np.repeat([1, 0], [len(targets), len(others)])
    return round(float(det_curve(labels, np.concatenate([targets, others]))[3]), 4)

few = rate([0.9, 0.8], [0.2, 0.1])
many = rate(np.linspace(1, 2, 20_000), np.linspace(-2, -1, 20_000))
ties = rate([1.0, 1.0, 0.5], [0.5, 0.5, 0.0])
print(f"separated: EER {few} of 4 trials, {many} of 40,000; targets 1 1 .5, others .5 .5 0: EER {ties}")
raise SystemExit((few, many, ties) != (0.25, 0.25, 0.25))
P

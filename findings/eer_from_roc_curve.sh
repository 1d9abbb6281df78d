#!/bin/bash
# scikit-learn 1.8.0: the usual recipe for the equal error rate, the point of roc_curve where the rates are nearest,
# is wrong by default. roc_curve leaves out points on a straight line (drop_intermediate=True), among them the crossing.
# One would guess: leaving out points on a line changes nothing. Seen: 0 in place of .2 for the same 20 trials.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.8.0
"$folder/venv/bin/python" - <<'P'
import numpy as np
from sklearn.metrics import roc_curve

targets = np.array([1] * 8 + [0] * 4 + [1] * 2 + [0] * 6)  # best score first; 2 of 10 are missed at 2 of 10 false accepts
scores = np.arange(20.0, 0.0, -1.0)
found = {}
for drop in (True, False):
    false_accepts, hits, _ = roc_curve(targets, scores, drop_intermediate=drop)
    nearest = np.nanargmin(np.abs(1 - hits - false_accepts))
    found[drop] = round(float(false_accepts[nearest]), 4)
    print(f"drop_intermediate={drop}: {len(hits)} points, EER by the recipe {found[drop]}")
raise SystemExit(found != {True: 0.0, False: 0.2})
P

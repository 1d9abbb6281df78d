#!/bin/bash
# scikit-learn 1.8.0: LinearDiscriminantAnalysis(shrinkage=0.5) depends on the unit of each feature, shrinkage='auto'
# does not: only 'auto' standardizes the features before it shrinks the covariance. Without shrinkage units do not
# matter, either. One would guess: both standardize. Seen: features in other units lose 10 points and more.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.8.0
"$folder/venv/bin/python" - <<'P'
import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

rng = np.random.default_rng(0)
labels = np.arange(60) % 6
means = rng.normal(size=(6, 20))
train, test = (means[labels] + rng.normal(size=(60, 20)) for _ in range(2))
units = np.geomspace(1, 1000, 20)
changed = {}
for solver, shrinkage in (("svd", None), ("lsqr", "auto"), ("lsqr", 0.5)):
    def accuracy(scale):
        model = LinearDiscriminantAnalysis(solver=solver, shrinkage=shrinkage).fit(train * scale, labels)
        return model.score(test * scale, labels)
    before, after = accuracy(1), accuracy(units)
    changed[shrinkage] = before - after
    print(f"shrinkage={shrinkage}: accuracy {before:.3f}, in other units {after:.3f}")
raise SystemExit(not (changed[None] == changed["auto"] == 0 and changed[0.5] > 0.1))
P

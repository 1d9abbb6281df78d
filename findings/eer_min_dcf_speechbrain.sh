#!/bin/bash
# speechbrain 1.1.2: minDCF is not divided by the cost of accepting nothing, as NIST's is: with the default prior of .01
# it is .01 for scores that know nothing, where NIST's is 1. EER takes the one threshold at which the rates are nearest
# and averages them: .1667 for targets 1, 1, .5 and others .5, .5, 0, where their convex hull has .2222.
# One would guess: 1, and a rate between the points. (Needs torch: about 3 GB are downloaded.)
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.11.0 torchaudio==2.11.0 speechbrain==1.1.2
"$folder/venv/bin/python" - <<'P'
import torch
from speechbrain.utils.metric_stats import EER, minDCF

blind, _ = minDCF(torch.zeros(4), torch.zeros(4))
rate, _ = EER(torch.tensor([1.0, 1.0, 0.5]), torch.tensor([0.5, 0.5, 0.0]))
print(f"minDCF of scores that know nothing {blind:.4f}; EER {rate:.4f}")
raise SystemExit((round(blind, 4), round(rate, 4)) != (0.01, 0.1667))
P

#!/bin/bash
# lir 1.3.1: log-likelihood ratios are logarithms to base 10 everywhere, where the literature on speakers (and
# Bruemmer's C_llr) has natural ones. Natural ratios of 2.303 and -2.303 have a C_llr of .1375 bit; lir.metrics.cllr says
# .0072, as if they were ten times ten and more. No error tells the two apart.
# One would guess: natural logarithms, .1375.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lir==1.3.1
"$folder/venv/bin/python" - <<'P'
import numpy as np
from lir.data.models import LLRData
from lir.metrics import cllr

natural, labels = np.array([np.log(10), -np.log(10)]), np.array([1, 0])
found = [round(float(cllr(LLRData(features=r, labels=labels))), 4) for r in (natural, natural / np.log(10))]
print(f"C_llr of ln(10) and -ln(10): {found[0]}; of the same divided by ln(10): {found[1]}")
raise SystemExit(found != [0.0072, 0.1375])
P

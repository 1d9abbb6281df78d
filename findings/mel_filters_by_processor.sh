#!/bin/bash
# torchaudio 2.11.0 with torch 2.11.0: melscale_fbanks gives other weights on a processor without AVX2 than on one with it, so the same
# recording has other log-mels there. ATEN_CPU_CAPABILITY makes torch compute as the older processor does.
# Guess before the run: the same bits everywhere, since the filters are a small table of constants.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/python -m pip install --quiet torch==2.11.0 torchaudio==2.11.0 "numpy==2.2.6"
cat > filters.py <<'P'
import sys
import torch
from torchaudio.functional import melscale_fbanks

filters = melscale_fbanks(201, 50.0, 8000.0, 40, 16_000)  # 40 bands of 25 ms frames at 16 kHz
print(torch.backends.cpu.get_cpu_capability())
torch.save(filters, sys.argv[1])
P
ATEN_CPU_CAPABILITY=default v/bin/python filters.py default.pt
ATEN_CPU_CAPABILITY=avx2 v/bin/python filters.py avx2.pt
v/bin/python - <<'P'
import sys
import torch

one, other = torch.load("default.pt"), torch.load("avx2.pt")
differ = int((one != other).sum())
print(f"{differ} of {int((one > 0).sum())} weights differ, by up to {float((one - other).abs().max()):.1e}")
sys.exit(not 0 < differ < 100)
P
echo "seen: some weights differ in their last bits"

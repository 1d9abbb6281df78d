#!/bin/bash
# soxr 1.1.0: ResampleStream, fed with chunks of any sizes, gives the same samples to the bit as resample() of the whole.
# Guess before the run: equal within rounding, and of another length, since a stream cannot see the end coming.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/python -m pip install --quiet soxr==1.1.0 "numpy==2.2.6"
v/bin/python - <<'E'
import sys
import numpy as np, soxr
rng = np.random.default_rng(0)
equal = True
for rate in (8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000, 384_000):
    for count in (1, 100, 5 * rate + 1):
        x = rng.standard_normal(count).astype(np.float32)
        whole = soxr.resample(x, rate, 16_000, "HQ")
        stream = soxr.ResampleStream(rate, 16_000, 1, dtype="float32", quality="HQ")
        parts, start = [], 0
        while start < count:
            size = int(rng.integers(1, 100_000))
            parts.append(stream.resample_chunk(x[start : start + size]))
            start += size
        parts.append(stream.resample_chunk(x[:0], last=True))
        joined = np.concatenate(parts)
        same = np.array_equal(joined, whole)
        equal &= same
        print(f"{rate:7} Hz, {count:8} samples: {len(whole)} and {len(joined)}, {'equal' if same else 'different'}")
sys.exit(not equal)
E
echo "seen: chunks and the whole agree in every bit and in length"

#!/bin/bash
# pyannote.metrics 4.2.0: segments of one speaker that overlap count as two people. Of 15 s with one speaker, in a
# reference that has 0-10 s and 5-15 s, a perfect answer has a diarization error rate of .25, and "total" is 20 s.
# Annotators and segmenters write such turns; Annotation.support() merges them, and has to be called by the user.
# One would guess: segments of one label are merged, and the error rate is 0.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyannote.metrics==4.2.0
"$folder/venv/bin/python" - <<'P'
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

reference, answer = Annotation(), Annotation()
reference[Segment(0, 10), 1] = reference[Segment(5, 15), 2] = "anna"
answer[Segment(0, 15)] = "anna"
found = []
for turns in (reference, reference.support()):
    parts = DiarizationErrorRate()(turns, answer, uem=Timeline([Segment(0, 15)]), detailed=True)
    found.append((round(parts["diarization error rate"], 4), parts["total"]))
print(f"as written {found[0]}, after support() {found[1]} (error rate, seconds of reference)")
raise SystemExit(found != [(0.25, 20.0), (0.0, 15.0)])
P

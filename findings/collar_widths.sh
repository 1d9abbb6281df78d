#!/bin/bash
# A collar means the whole forgiven width in pyannote.metrics 4.2.0 and one side of it in simpleder 0.0.8 (as in NIST's
# md-eval): a boundary that is .2 s late is forgiven entirely by collar=.4 in the one and by collar=.2 in the other.
# One would guess: one side in both.
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyannote.metrics==4.2.0 simpleder==0.0.8
"$folder/venv/bin/python" - <<'P'
import simpleder
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

reference = [("a", 0.0, 10.0), ("b", 10.0, 20.0)]
late = [("a", 0.0, 10.2), ("b", 10.2, 20.0)]

def annotation(turns):
    found = Annotation()
    for speaker, start, end in turns:
        found[Segment(start, end)] = speaker
    return found

def pyannote(collar):
    metric = DiarizationErrorRate(collar=collar)
    return metric(annotation(reference), annotation(late), uem=Timeline([Segment(0, 20)]))

found = {}
for collar in (0.2, 0.4):
    found[collar] = (round(pyannote(collar), 4), round(simpleder.DER(reference, late, collar=collar), 4))
    print(f"collar {collar}: DER of pyannote.metrics {found[collar][0]}, of simpleder {found[collar][1]}")
raise SystemExit(found != {0.2: (0.0051, 0.0), 0.4: (0.0, 0.0)})
P

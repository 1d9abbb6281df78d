#!/bin/bash
# pyannote.database 6.1.1: load_rttm reads a speaker called NA (or None, null, nan) as a float, not a number, since the
# file passes through pandas.read_csv with its default list of missing values. Written back by to_rttm, the speaker is
# called nan. RTTM marks missing fields by <NA>; NA is a valid name.
# One would guess: the label is the text "NA".
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyannote.database==6.1.1
printf 'SPEAKER m 1 %s 1.000 <NA> <NA> %s <NA> <NA>\n' 0.000 NA 2.000 None 4.000 001 > "$folder/m.rttm"
"$folder/venv/bin/python" - "$folder/m.rttm" <<'P'
import sys
from pyannote.database.util import load_rttm

turns = load_rttm(sys.argv[1])["m"]
labels = [label for _, _, label in turns.itertracks(yield_label=True)]
written = [line.split()[7] for line in turns.to_rttm().splitlines()]
print(f"labels {labels}, written back {written}")
raise SystemExit(written != ["nan", "nan", "001"] or isinstance(labels[0], str))
P

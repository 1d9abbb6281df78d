#!/bin/bash
# webvtt-py 0.6.0: Caption.voice is the first voice of a cue, and keeps character references: a cue
# "<v Ann>hi</v> <v Bo>ho</v>", which WebVTT allows, has the voice Ann and the text "hi ho", so all of it seems to be
# Ann's; and "<v Smith &amp; Co>" has the voice "Smith &amp; Co", though the standard decodes references in annotations.
# One would guess: both voices can be read, and the second name is "Smith & Co".
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q webvtt-py==0.6.0
"$folder/venv/bin/python" - "$folder/m.vtt" <<'P'
import sys
from pathlib import Path

import webvtt

cues = ("<v Ann>hi</v> <v Bo>ho</v>", "<v Smith &amp; Co>hello</v>")
Path(sys.argv[1]).write_text("WEBVTT\n" + "".join(f"\n00:0{i}.000 --> 00:0{i}.500\n{cue}\n" for i, cue in enumerate(cues)))
found = [(caption.voice, caption.text) for caption in webvtt.read(sys.argv[1])]
print(f"voice and text: {found}")
raise SystemExit(found != [("Ann", "hi ho"), ("Smith &amp; Co", "hello")])
P

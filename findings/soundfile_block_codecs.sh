#!/bin/bash
# soundfile 0.14.0 (libsndfile 1.2.2): a WAV with a block codec comes back longer than it was written. libsndfile writes the
# true length into the `fact` chunk (but for IMA ADPCM) and does not look there when it reads. What is added is no silence.
# Guess before the run: the length survives, as it does in FLAC, Ogg and MP3.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/python -m pip install --quiet soundfile==0.14.0 "numpy==2.2.6"
v/bin/python - <<'E'
import io, struct, sys
import numpy as np, soundfile
x = 0.5 * np.sin(np.arange(8_001) / 9)
found = {}
for form, codec in (("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("WAV", "IMA_ADPCM"),
                    ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAV", "G721_32")):
    buffer = io.BytesIO()
    soundfile.write(buffer, x, 8_000, codec, format=form)
    content = buffer.getvalue()
    at = content.find(b"fact") if form == "WAV" else -1
    fact = struct.unpack("<I", content[at + 8 : at + 12])[0] if at > 0 else None
    buffer.seek(0)
    y, _ = soundfile.read(buffer)
    found[codec] = len(y)
    tail = np.abs(y[len(x) :]).max() if len(y) > len(x) else 0
    print(f"{form} {codec:14} wrote {len(x)}, fact chunk {fact}, read {len(y)}, loudest of the rest {tail:.3f}")
sys.exit(found != {"PCM_16": 8_001, "VORBIS": 8_001, "MPEG_LAYER_III": 8_001, "IMA_ADPCM": 8_080, "MS_ADPCM": 8_500,
                   "GSM610": 8_320, "G721_32": 8_040})
E
echo "seen: 8,001 samples come back as 8,080 (IMA), 8,500 (MS), 8,320 (GSM) and 8,040 (G.721)"

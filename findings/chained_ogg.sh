#!/bin/bash
# A chained Ogg (RFC 3533, section 4: two logical streams in turn, made by `cat`) read by soundfile 0.14.0 and PyAV 18.1.0.
# soundfile gives the first link alone, without an error, and its length is that of the first. PyAV gives both, if they are
# of one codec; with Opus behind Vorbis it raises an error in the middle, although each link alone is fine.
# Guess before the run: soundfile the first one, PyAV everything, since FFmpeg's demuxer knows chains.
set -eu
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT; cd "$W"
python3 -m venv v; v/bin/python -m pip install --quiet soundfile==0.14.0 av==18.1.0 "numpy==2.2.6"
v/bin/python - <<'E'
import sys
import av, numpy as np, soundfile
rng = np.random.default_rng(0)
for name, codec in (("vorbis", "VORBIS"), ("opus", "OPUS")):
    soundfile.write(f"{name}.ogg", 0.1 * rng.standard_normal(32_000), 16_000, codec, format="OGG")
read = lambda name: open(name, "rb").read()
open("same.ogg", "wb").write(2 * read("vorbis.ogg"))
open("mixed.ogg", "wb").write(read("vorbis.ogg") + read("opus.ogg"))
def with_av(name):
    seconds = 0.0
    try:
        with av.open(name) as container:
            for frame in container.decode(audio=0):
                seconds += frame.samples / frame.sample_rate
    except av.error.FFmpegError as error:
        return round(seconds, 1), type(error).__name__
    return round(seconds, 1), None
seen = {}
for name in ("same.ogg", "mixed.ogg"):
    whole, rate = soundfile.read(name)
    seen[name] = (len(whole) / rate, *with_av(name))
    print(f"{name}: 4 s; soundfile {seen[name][0]:.1f} s, PyAV {seen[name][1]} s, then {seen[name][2] or 'the end'}")
sys.exit(not (seen["same.ogg"] == (2.0, 4.0, None) and seen["mixed.ogg"][0] == 2.0 and seen["mixed.ogg"][2]))
E
echo "seen: soundfile stops at the end of the first link; PyAV reads chains of one codec alone"

"""Try a bundle in the browser: speak or drop a recording to identify the speaker; enroll and forget speakers.

  speakerid serve speaker.safetensors

Only this machine can reach the page, unless --host is given. A recording is deleted as soon as it was processed; only
voice prints of enrolled speakers are kept, in the bundle. Ctrl-C ends the server. Needs Gradio (in a checkout:
`pip install -e '.[serve]'`).
"""

import argparse
import math
from pathlib import Path

from speakerid.cli.arguments import checked

_port = checked(int, lambda value: 1 <= value <= 65535, "a port from 1 to 65535")
_amount = checked(float, lambda value: 0 < value < math.inf, "a number above 0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="bundle, made by `speakerid export`; enrolling changes it"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="address to listen at (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=7860, metavar="N", help="default 7860")
    parser.add_argument(
        "--max-megabytes", type=_amount, default=20.0, metavar="N", help="maximum size of a recording (default 20)"
    )
    parser.add_argument(
        "--max-seconds", type=_amount, default=120.0, metavar="N", help="maximum length of a recording (default 120)"
    )


def run(options: argparse.Namespace) -> int:
    import signal
    import sys
    import threading

    from speakerid.base.printing import counted
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.web.hosts import is_loopback
    from speakerid.web.page import Limits, Page
    from speakerid.web.server import serving

    recognizer = Recognizer.load(options.bundle)
    page = Page(recognizer, Limits(options.max_megabytes, options.max_seconds))
    if not is_loopback(options.host):
        print(
            f"--host {options.host}: anyone in the network can enroll and forget speakers; browsers allow the "
            "microphone only over HTTPS",
            file=sys.stderr,
        )
    for ending in (signal.SIGTERM, signal.SIGHUP):  # so that recordings are deleted
        signal.signal(ending, signal.default_int_handler)
    try:
        with serving(page, options.host, options.port) as address:
            print(f"{counted(len(recognizer.speakers), 'speaker')}: {address} (Ctrl-C to stop)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    return 0

"""Serve a page while a test runs."""

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from speakerid.recognition.recognizer import Recognizer
from speakerid.web.page import Limits, Page
from speakerid.web.server import serving

GRADIO_S_OWN = [
    # Its queue asks pandas for what pandas 3 deprecates.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    # Its event loops are left to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
"""Warnings of other packages, for the test modules that serve pages."""


@contextmanager
def served(bundle: Path, limits: Limits) -> Iterator[str]:
    """Serve a bundle's page, and yield its address."""
    with serving(Page(Recognizer.load(bundle), limits), "127.0.0.1", free_port()) as address:
        yield address
    gc.collect()  # here, where these warnings are ignored


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_of(address: str) -> int:
    return int(address.rstrip("/").rsplit(":", 1)[1])


def contents(folder: Path) -> list[Path]:
    """Files that are not empty; Gradio makes an empty one beside each file that it passes on."""
    found = list[Path]()
    for parent, _, names in os.walk(folder):  # does not fail if a folder is deleted while it runs, as rglob does
        for name in names:
            with suppress(FileNotFoundError):
                path = Path(parent, name)
                found += [path] if path.stat().st_size else []
    return found

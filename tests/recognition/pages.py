"""A page that is served while a test runs."""

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from speakerid.recognition.page import Limits, Page
from speakerid.recognition.recognizer import Recognizer
from speakerid.recognition.serving import serving

GRADIO_S_OWN = [
    # Its queue asks pandas for what pandas 3 deprecates.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    # Its event loops are left to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
"""Warnings that are not for us to mend, for the modules of tests that serve pages."""


@contextmanager
def served(bundle: Path, limits: Limits) -> Iterator[str]:
    """The address of a bundle's page."""
    with serving(Page(Recognizer.load(bundle), limits), "127.0.0.1", free_port()) as address:
        yield address
    gc.collect()  # here, where these warnings are ignored


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_of(address: str) -> int:
    return int(address.rstrip("/").rsplit(":", 1)[1])


def contents(folder: Path) -> list[Path]:
    """Files that hold something; Gradio makes an empty one beside each that it hands over."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]

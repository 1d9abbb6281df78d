"""Train speaker-identification models from log-mel features: from-scratch Transformers and Conformers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speakerid.recognition.recognizer import Recognizer

__all__ = ["Recognizer"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `speakerid.Recognizer` on first use, since not every command needs torch."""
    if name != "Recognizer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from speakerid.recognition.recognizer import Recognizer

    return Recognizer

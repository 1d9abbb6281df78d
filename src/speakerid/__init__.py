"""Train speaker-identification models from log-mel features: from-scratch Transformers and Conformers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speakerid.recognition.recognizer import Recognizer

__all__ = ["Recognizer"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`speakerid.Recognizer`, imported when it is asked for: commands that do not recognise do without torch."""
    if name != "Recognizer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from speakerid.recognition.recognizer import Recognizer

    return Recognizer

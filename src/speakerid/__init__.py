"""Train speaker-identification models from log-mel features: from-scratch Transformers and Conformers.

The names below are the public face; each is imported on first use, since most need torch. `speakerid.nn` has the layers
and encoders, `speakerid.metrics` the measures.
"""

from typing import TYPE_CHECKING

from speakerid.base.lazy import lazy_names

if TYPE_CHECKING:
    from speakerid import metrics, nn
    from speakerid.audio.decode import decode
    from speakerid.audio.log_mel import LogMel
    from speakerid.base.errors import UserError
    from speakerid.config import Config, FeatureConfig, load_config
    from speakerid.corpus.check import open_corpus
    from speakerid.nn.classifier import SpeakerClassifier
    from speakerid.preparation.prepare import Options as PrepareOptions
    from speakerid.preparation.prepare import prepare
    from speakerid.recognition.bundle import Bundle
    from speakerid.recognition.make_bundle import make_bundle
    from speakerid.recognition.recognizer import Recognizer
    from speakerid.recognition.results import Answer, Segment, Verdict
    from speakerid.training.checkpoint import Checkpoint
    from speakerid.training.run import train

__all__ = [
    "Answer",
    "Bundle",
    "Checkpoint",
    "Config",
    "FeatureConfig",
    "LogMel",
    "PrepareOptions",
    "Recognizer",
    "Segment",
    "SpeakerClassifier",
    "UserError",
    "Verdict",
    "decode",
    "load_config",
    "make_bundle",
    "metrics",
    "nn",
    "open_corpus",
    "prepare",
    "train",
]
__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Answer": "speakerid.recognition.results:Answer",
        "Bundle": "speakerid.recognition.bundle:Bundle",
        "Checkpoint": "speakerid.training.checkpoint:Checkpoint",
        "Config": "speakerid.config:Config",
        "FeatureConfig": "speakerid.config:FeatureConfig",
        "LogMel": "speakerid.audio.log_mel:LogMel",
        "PrepareOptions": "speakerid.preparation.prepare:Options",
        "Recognizer": "speakerid.recognition.recognizer:Recognizer",
        "Segment": "speakerid.recognition.results:Segment",
        "SpeakerClassifier": "speakerid.nn.classifier:SpeakerClassifier",
        "UserError": "speakerid.base.errors:UserError",
        "Verdict": "speakerid.recognition.results:Verdict",
        "decode": "speakerid.audio.decode:decode",
        "load_config": "speakerid.config:load_config",
        "make_bundle": "speakerid.recognition.make_bundle:make_bundle",
        "metrics": "speakerid.metrics",
        "nn": "speakerid.nn",
        "open_corpus": "speakerid.corpus.check:open_corpus",
        "prepare": "speakerid.preparation.prepare:prepare",
        "train": "speakerid.training.run:train",
    },
)

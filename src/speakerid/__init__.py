"""Train speaker-identification models from log-mel features: from-scratch Transformers and Conformers."""

from importlib.metadata import version

__version__ = version("speakerid")

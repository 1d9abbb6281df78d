"""Settings of an experiment: a module for each section of a YAML file, with defaults and checks."""

from speakerid.config.data import DEMO_ROOT, DataConfig
from speakerid.config.experiment import Config, load_config
from speakerid.config.features import FeatureConfig, parse_features
from speakerid.config.model import ModelConfig
from speakerid.config.settings import parse
from speakerid.config.train import TrainConfig
from speakerid.config.yaml_reader import read_yaml

__all__ = [
    "DEMO_ROOT",
    "Config",
    "DataConfig",
    "FeatureConfig",
    "ModelConfig",
    "TrainConfig",
    "load_config",
    "parse",
    "parse_features",
    "read_yaml",
]

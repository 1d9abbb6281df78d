"""Settings of an experiment: a module for each section of a YAML file, with defaults and checks.

The names are imported on first use, since the features and the model of a bundle need none of the others.
"""

from typing import TYPE_CHECKING

from speakerid.base.lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "DEMO_ROOT": "speakerid.config.data:DEMO_ROOT",
        "Config": "speakerid.config.experiment:Config",
        "DataConfig": "speakerid.config.data:DataConfig",
        "FeatureConfig": "speakerid.config.features:FeatureConfig",
        "ModelConfig": "speakerid.config.model:ModelConfig",
        "TrainConfig": "speakerid.config.train:TrainConfig",
        "load_config": "speakerid.config.experiment:load_config",
        "parse": "speakerid.config.settings:parse",
        "parse_features": "speakerid.config.features:parse_features",
        "read_yaml": "speakerid.config.yaml_reader:read_yaml",
    },
)

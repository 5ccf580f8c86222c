"""What an experiment is, as frozen dataclasses: `experiment = split + branches + network + recipe + fusion`.

Field names become flags (`batch_size` is `--batch-size`); the names follow timm where timm has one. A recipe is a
function that returns a `RunConfig`; recipes differ by `dataclasses.replace`.
"""

from bandwise.config.data import (
    MAX_STRIDE,
    MOST_CHANNELS,
    AugmentConfig,
    Codec,
    DataConfig,
    SplitConfig,
    Storage,
    Transform,
    format_bands,
    parse_bands,
)
from bandwise.config.run import RunConfig, parse_branches, to_dict
from bandwise.config.training import FusionConfig, FusionRule, KeepLogits, NetworkConfig, TrainingConfig

__all__ = [
    "MAX_STRIDE",
    "MOST_CHANNELS",
    "AugmentConfig",
    "Codec",
    "DataConfig",
    "FusionConfig",
    "FusionRule",
    "KeepLogits",
    "NetworkConfig",
    "RunConfig",
    "SplitConfig",
    "Storage",
    "TrainingConfig",
    "Transform",
    "format_bands",
    "parse_bands",
    "parse_branches",
    "to_dict",
]

"""Bandwise: one network per spectral sub-band, trained with no communication, fused into one classifier.

The names below are imported when they are first used, so that `import bandwise` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bandwise.version import __version__

if TYPE_CHECKING:
    from bandwise.bands.module import BandSplit
    from bandwise.bands.transform import SubbandTransform
    from bandwise.config import RunConfig
    from bandwise.fusion.combination import Fusion
    from bandwise.fusion.rules import fit
    from bandwise.launch.pipeline import run
    from bandwise.models.zoo import create_branch
    from bandwise.serving.ensemble import SpectralEnsemble
    from bandwise.serving.predict import predict_paths
    from bandwise.store.reading.dataset import BandDataset
    from bandwise.store.reading.store import Store, open_store
    from bandwise.store.writing.split import split_dataset
    from bandwise.training.trainer import train_branch

_HOMES = {
    "BandDataset": "bandwise.store.reading.dataset",
    "BandSplit": "bandwise.bands.module",
    "Fusion": "bandwise.fusion.combination",
    "RunConfig": "bandwise.config",
    "SpectralEnsemble": "bandwise.serving.ensemble",
    "Store": "bandwise.store.reading.store",
    "SubbandTransform": "bandwise.bands.transform",
    "create_branch": "bandwise.models.zoo",
    "fit": "bandwise.fusion.rules",
    "open_store": "bandwise.store.reading.store",
    "predict_paths": "bandwise.serving.predict",
    "run": "bandwise.launch.pipeline",
    "split_dataset": "bandwise.store.writing.split",
    "train_branch": "bandwise.training.trainer",
}

__all__ = [
    "BandDataset",
    "BandSplit",
    "Fusion",
    "RunConfig",
    "SpectralEnsemble",
    "Store",
    "SubbandTransform",
    "__version__",
    "create_branch",
    "fit",
    "open_store",
    "predict_paths",
    "run",
    "split_dataset",
    "train_branch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bandwise' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

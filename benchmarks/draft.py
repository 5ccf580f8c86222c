"""`python -m benchmarks draft`: photographs of 12 megapixels to a store, whole and at a fraction of their size.

Seconds are CPU seconds of one process that does everything.
"""

import dataclasses
import itertools
import shutil

import numpy as np

from bandwise.config import SplitConfig
from bandwise.sources.decoding.decode import load_canvas
from bandwise.store.writing.split import split_dataset
from benchmarks.figures import Figure, Options, Reach
from benchmarks.measuring import compare, race
from benchmarks.pictures import as_folder, camera_sized, photographs

_PICTURES, _TIMES, _DRAFTS = 8, 4, (1, 2, 4)
_REACH = {1: Reach(">=", 4.0), 2: None, 4: None}
_UNIT = "ms a picture"


def measure(options: Options) -> list[Figure]:
    """Measure every draft against decoding whole pictures, and how far its pixels are from theirs."""
    pictures = camera_sized(photographs(options.data, options.amount(_PICTURES, 4)))
    # Each several times, so that the start and the end of a store weigh less, as in a real one.
    source = as_folder([*pictures] * _TIMES, options.scratch / "source")
    whole = SplitConfig(stride=2, canvas=256, holdout=0, holdout_min=0)
    configs = {f"draft {draft}": dataclasses.replace(whole, draft=draft) for draft in _DRAFTS} | {"whole": whole}
    number = itertools.count()

    def convert(config: SplitConfig) -> None:
        out = options.scratch / f"store-{next(number)}"
        split_dataset(source, config, out, workers=1, decode_timeout=0.0)
        shutil.rmtree(out)

    found = race(
        {name: lambda config=config: convert(config) for name, config in configs.items()}, rounds=options.rounds(2)
    )
    paths = [entry.path for entry in source.entries()]
    canvases = {
        name: np.stack([load_canvas(source, path, config)[0] for path in paths]).astype(np.int16)
        for name, config in configs.items()
    }
    figures = []
    for draft in _DRAFTS:
        name, apart = f"draft {draft}", np.abs(canvases[f"draft {draft}"] - canvases["whole"])
        figures.append(
            compare(
                found,
                f"draft/{draft}",
                unit=_UNIT,
                factor=1e3 / len(paths),
                ours=name,
                over="whole",
                under=name,
                peers=("whole",),
                reach=_REACH[draft],
                ratio_of="whole / draft",
                note=f"grey levels off the canvas of the whole picture: mean {apart.mean():.2f}, at most {apart.max()}",
            )
        )
    return figures

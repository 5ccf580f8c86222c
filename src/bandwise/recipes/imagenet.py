"""The rows of the published tables of ImageNet-1K and ImageNet-21K, from `published.yaml`, and their lean designs.

    bandwise run resnet34-sub4 --data ARCHIVES --out runs/resnet34-sub4
    bandwise run in21k-resnet50-sub36 --data winter21_whole.tar --expect winter21 --out runs/in21k-resnet50-sub36

`ARCHIVES` is the folder of the ILSVRC 2012 archives. Nobody has run these recipes whole yet. For ImageNet-21K counts
and sizes are for 10,450 classes, as in upstream's code; a run has the classes of its archive.
"""

import importlib.resources
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import yaml

from bandwise.config import DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.recipe import CLAIMS, PublishedFigures, Recipe, Reference, changed
from bandwise.recipes.sets import seed

Dataset = Literal["imagenet1k", "imagenet21k"]

# The published method resizes to 336 px for 36 bands, so that every row of bands sees 112 or 56 px.
_CANVAS_AND_CROP = {1: (256, 224), 2: (256, 224), 4: (256, 224), 6: (384, 336)}
# Two images of a hundred are enough to fit the fusion on sets of this size, as in Wortsman et al., Model soups (2022).
_HOLDOUT = 0.02
_LEAN_NOTE = (
    "Nothing was published for this design. The published savings of memory fit its stem; the published accuracies "
    "fit the dense stem."
)

_TABLES: dict[Dataset, dict[str, dict[str, Any]]] = yaml.safe_load(
    importlib.resources.files("bandwise.recipes").joinpath("published.yaml").read_text(encoding="utf-8")
)
"""Data set to the rows of its table by name."""


def _row(dataset: Dataset, name: str) -> Recipe:
    row = _TABLES[dataset][name]
    if "whole_image" in row:
        return _bands(dataset, name, **row)
    return _whole_image(dataset, name, **row)


def _whole_image(
    dataset: Dataset, name: str, *, model: str, summary: str, published: dict[str, Any], unconfirmed: list[str]
) -> Recipe:
    """Return a row of one network on the whole image, trained by the recipe published with these rows."""
    canvas, crop = _CANVAS_AND_CROP[1]
    config = RunConfig(
        name=name,
        data=DataConfig(data=dataset, source=dataset),
        split=SplitConfig(stride=1, transform="identity", canvas=canvas, holdout=_HOLDOUT),
        network=NetworkConfig(model=model, stem="stock"),
        training=TrainingConfig(crop=crop),
    )
    return Recipe(
        config=seed(config),
        summary=summary,
        published=_figures(**published),
        unconfirmed=tuple(unconfirmed),
        full_image=name,
    )


def _bands(
    dataset: Dataset,
    name: str,
    *,
    whole_image: str,
    stride: int,
    published: dict[str, Any],
    unconfirmed: list[str],
    **network: str,
) -> Recipe:
    """Return the row of the same family with a network for each of the stride x stride bands of the paper's DCT."""
    canvas, crop = _CANVAS_AND_CROP[stride]
    config = changed(
        _row(dataset, whole_image).config,
        name=name,
        split={"stride": stride, "transform": "dct1d", "canvas": canvas},
        network=network,
        training={"crop": crop},
    )
    model, stem = config.network.model, config.network.stem
    kind = f"{model}, {stem} stem" if model.startswith("resnet") else model
    return Recipe(
        config=config,
        summary=f"{stride**2} dct1d bands of {crop // stride} px: {kind}.",
        published=_figures(**published),
        unconfirmed=tuple(unconfirmed),
        full_image=whole_image,
    )


def _lean(dataset: Dataset, name: str) -> Recipe:
    """Return the memory design of a row of bands: the same network with the stock stem."""
    row = _row(dataset, name)
    return replace(
        row,
        config=changed(row.config, name=f"{name}-lean", network={"stem": "stock"}),
        summary=row.summary.replace("dense stem", "stock stem, which saves memory and multiply-adds"),
        published=None,
        unconfirmed=(_LEAN_NOTE,),
    )


def _figures(
    *, references: list[dict[str, Any]] | None = None, claims: list[str] | None = None, **values: Any
) -> PublishedFigures:
    return PublishedFigures(
        references=tuple(Reference(**reference) for reference in references or ()),
        claims=tuple(CLAIMS[claim] for claim in claims or ()),
        **values,
    )


RECIPES = {}
for _dataset, _rows in _TABLES.items():
    RECIPES |= {name: partial(_row, _dataset, name) for name in _rows}
    RECIPES |= {f"{name}-lean": partial(_lean, _dataset, name) for name, row in _rows.items() if "stem" in row}

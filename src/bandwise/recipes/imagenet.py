"""How the rows of the published tables differ: a whole-image row, its rows of bands, and their lean designs."""

from dataclasses import replace
from typing import Literal

from bandwise.config import DataConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.recipes.figures import SeedFigures
from bandwise.recipes.published_sets import seed
from bandwise.recipes.recipe import Recipe

Dataset = Literal["imagenet1k", "imagenet21k"]

# The published method resizes to 336 px for 36 bands, so that every row of bands sees 112 or 56 px.
_SIZES = {1: (256, 224), 2: (256, 224), 4: (256, 224), 6: (384, 336)}
# Two images of a hundred are enough to fit the fusion on sets of this size, as in Wortsman et al., Model soups (2022).
_HOLDOUT = 0.02
_LEAN_NOTE = (
    "Nothing was published for this design. The published savings of memory fit its stem; the published accuracies "
    "fit the dense stem."
)


def whole_image(
    name: str, model: str, dataset: Dataset, summary: str, figures: SeedFigures, unconfirmed: tuple[str, ...]
) -> Recipe:
    """Return a row of one network on the whole image, trained by the recipe published with these rows."""
    config = seed(
        RunConfig(
            name=name,
            data=DataConfig(data=dataset, source=dataset),
            split=SplitConfig(stride=1, transform="identity", canvas=256, holdout=_HOLDOUT),
            network=NetworkConfig(model=model, stem="stock"),
            training=TrainingConfig(crop=224),
        )
    )
    return Recipe(
        config=config,
        summary=summary,
        seed=figures,
        unconfirmed=unconfirmed,
        full_image=name,
    )


def bands(
    full: Recipe,
    stride: int,
    figures: SeedFigures,
    unconfirmed: tuple[str, ...],
    *,
    model: str | None = None,
    stem: Literal["stock", "dense"] = "stock",
) -> Recipe:
    """Return the row of the same family with a network for each of the stride x stride bands of the paper's DCT."""
    canvas, crop = _SIZES[stride]
    config = full.config
    name = f"{full.name}-sub{stride**2}"
    network = replace(config.network, model=model or config.network.model, stem=stem)
    config = replace(
        config,
        name=name,
        split=replace(config.split, stride=stride, transform="dct1d", canvas=canvas),
        network=network,
        training=replace(config.training, crop=crop),
    )
    kind = f"{network.model}, {stem} stem" if network.model.startswith("resnet") else network.model
    return replace(
        full,
        config=config,
        summary=f"{stride**2} dct1d bands of {crop // stride} px: {kind}.",
        seed=figures,
        unconfirmed=unconfirmed,
    )


def lean(row: Recipe) -> Recipe:
    """Return the memory design of a row of bands: the same network with the stock stem."""
    config = replace(row.config, name=f"{row.name}-lean", network=replace(row.config.network, stem="stock"))
    return replace(
        row,
        config=config,
        summary=row.summary.replace("dense stem", "stock stem, which saves memory and multiply-adds"),
        seed=None,
        unconfirmed=(_LEAN_NOTE,),
    )

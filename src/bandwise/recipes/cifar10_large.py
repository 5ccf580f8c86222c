"""The experiments on CIFAR-10 with ResNet-18 and ResNet-34, for an accelerator.

    bandwise run cifar10-resnet18-sub4 --seed 0 --out runs/cifar10-resnet18-sub4

Each is a recipe of `recipes.cifar10` with another network, 30 epochs in place of 6, and bfloat16; nothing else differs,
so the systems stand in the same groups of equal cost. A CPU would take hours for one seed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from bandwise.recipes import cifar10, cifar10_starts
from bandwise.recipes.recipe import Recipe

_PREFIX = "cifar10-"
_NAMES = {"resnet18": "ResNet-18", "resnet34": "ResNet-34"}
_ROWS = {
    "resnet18": (
        cifar10.baseline,
        cifar10.ensemble4,
        cifar10.lowres,
        cifar10.lowres4,
        cifar10.sub4,
        cifar10.context4,
        cifar10_starts.best,
        cifar10_starts.sub4_warm,
        cifar10_starts.lowres4_warm,
        cifar10.joint4,
        cifar10.baseline_noflip,
        cifar10.sub4_noflip,
        cifar10.sub4_dct1d,
        cifar10.polyphase4,
        cifar10.random4,
        cifar10.sub16,
        cifar10.baseline_image,
        cifar10.sub4_image,
        cifar10.baseline_stock,
        cifar10.sub4_stock,
    ),
    "resnet34": (
        cifar10.baseline,
        cifar10.lowres4,
        cifar10.sub4,
        cifar10.context4,
        cifar10_starts.best,
        cifar10_starts.sub4_warm,
    ),
}


def enlarged(build: Callable[[], Recipe], model: str) -> Recipe:
    """Return a recipe on CIFAR-10 with a larger network, trained for longer; its name starts with that network."""
    small = build()
    config = replace(
        small.config,
        name=f"{_PREFIX}{model}-{small.name.removeprefix(_PREFIX)}",
        network=replace(small.config.network, model=model),
        training=replace(small.config.training, epochs=30, warmup_epochs=2, precision="bf16-mixed"),
    )
    summary = f"{small.summary.removesuffix('.')}; {_NAMES[model]}, for an accelerator."
    return Recipe(config=config, summary=summary)


RECIPES = tuple(partial(enlarged, build, model) for model, builds in _ROWS.items() for build in builds)

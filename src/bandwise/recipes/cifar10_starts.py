"""Recipes on CIFAR-10 that start from other weights or train for longer, and the best system found.

The `...-long` systems train for 24 epochs in place of six. Against those of six, `joint4-long` is a control of equal
cost of training: a small network trained for as many multiply-adds as four branches are, which then answers with a
quarter of theirs.

In the `...-warm` systems and `best` the other branches start from the final weights of branch 0. Each is trained for as
long as without, so the multiply-adds are the same, but two trainings follow one another, and one file is sent.
"""

from dataclasses import replace

from bandwise.config import FusionConfig
from bandwise.recipes.cifar10 import baseline, context4, control, joint4, sub4
from bandwise.recipes.recipe import Recipe


def best() -> Recipe:
    """The best system of four branches found: the low band in every one, started from branch 0, fused by a head."""
    summary = "Every branch sees the low band and starts from its network; fused by a head."
    recipe = control("best", summary, "0;0,1;0,2;0,3", initial_branch=0)
    return replace(recipe, config=replace(recipe.config, fusion=FusionConfig(rule="head")))


def sub4_warm() -> Recipe:
    """The four bands, three of them started from the network of the low band."""
    return control("sub4-warm", "Four dct2d bands, each started from the network of the low one.", initial_branch=0)


def lowres4_warm() -> Recipe:
    """What a warm start does without other bands."""
    summary = "Four networks on the low-resolution band, three started from the first."
    return control("lowres4-warm", summary, "0;0;0;0", initial_branch=0)


def joint4_warm() -> Recipe:
    """What a warm start does where nothing is divided but the multiply-adds."""
    summary = "Four networks on all four bands, three started from the first."
    return control("joint4-warm", summary, ";".join(["0,1,2,3"] * 4), initial_branch=0)


def joint4_long() -> Recipe:
    """All bands in one small network, trained for as many multiply-adds as four branches of six epochs are."""
    return _long(joint4())


def baseline_long() -> Recipe:
    """The whole image for 24 epochs: is six epochs too short to judge by?"""
    return _long(baseline())


def sub4_long() -> Recipe:
    """The four bands for 24 epochs."""
    return _long(sub4())


def context4_long() -> Recipe:
    """The low band in every branch, for 24 epochs."""
    return _long(context4())


def baseline_progressive() -> Recipe:
    """What a warm start does for the whole image: its network goes on from that of the low band.

    The file holds the final weights of `cifar10-lowres` with the same seed. Six epochs of that and four of this take
    53.9 million multiply-adds an image, the baseline 57.4.
    """
    summary = "The whole image, started from cifar10-lowres.safetensors: the final weights of cifar10-lowres."
    recipe = control("baseline-progressive", summary, stride=1, transform="identity")
    network = replace(recipe.config.network, initial_checkpoint="cifar10-lowres.safetensors")
    training = replace(recipe.config.training, epochs=4)
    return replace(recipe, config=replace(recipe.config, network=network, training=training))


def _long(recipe: Recipe) -> Recipe:
    training = replace(recipe.config.training, epochs=4 * recipe.config.training.epochs)
    config = replace(recipe.config, name=f"{recipe.name}-long", training=training)
    return Recipe(config=config, summary=f"{recipe.summary.removesuffix('.')}, trained four times as long.")


RECIPES = (
    best,
    sub4_warm,
    lowres4_warm,
    joint4_warm,
    joint4_long,
    baseline_long,
    sub4_long,
    context4_long,
    baseline_progressive,
)

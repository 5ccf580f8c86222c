"""The rows of the published ImageNet-1K table, and their lean designs.

    bandwise run resnet34-sub4 --data ARCHIVES --out runs/resnet34-sub4

`ARCHIVES` is the folder of the ILSVRC 2012 archives. Nobody has run these recipes whole yet.
"""

from bandwise.recipes import imagenet1k_resnets, rows
from bandwise.recipes.figures import CROPS_NOT_SAID, WEIGHTS_ON_TEST, Reference, SeedFigures
from bandwise.recipes.recipe import Recipe

_NO_LOGS = "There are no logs of this row."
_BRANCHES_NOT_SAID = "Which of the {} branches were fused, and with which weights, is not recorded."
_NO_SCRIPT = "The network is not in upstream's repository; this one was found by its size."


def alexnet() -> Recipe:
    """The whole-image AlexNet."""
    figures = SeedFigures(
        evidence="a log of the training, with another schedule",
        accuracy=63.44,
        references=(Reference(59.3, "Krizhevsky et al. 2012"),),
        size="224 MB",
        mib=224.0,
        training_time="40.8 h",
        hours=40.8,
    )
    unconfirmed = (
        "The size is not that of the network (233.08 MiB); the linear layers alone are 223.66 MiB.",
        "The log drops the rate every 30 epochs; the published recipe says cosine.",
        CROPS_NOT_SAID,
    )
    return rows.whole_image("alexnet", "alexnet", "imagenet1k", "AlexNet on the whole image.", figures, unconfirmed)


def alexnet_sub4() -> Recipe:
    """Four bands, a smaller AlexNet each."""
    figures = SeedFigures(
        evidence="logs of the branches, nothing of the fusion",
        accuracy=63.43,
        size="61.04 MB x 4",
        mib=61.04,
        training_time="20.2 h",
        hours=20.2,
    )
    unconfirmed = (
        _BRANCHES_NOT_SAID.format(4),
        "The logs of the branches show steps at epochs 31 and 61, not cosine; the best branch has 59.35 %.",
        "Several designs have this size; this one has the linear layer that the others of the family have.",
        WEIGHTS_ON_TEST,
        CROPS_NOT_SAID,
    )
    return rows.bands(alexnet(), 2, figures, unconfirmed, model="alexnet-sub4")


def alexnet_sub16() -> Recipe:
    """Sixteen bands, a small AlexNet each."""
    figures = SeedFigures(
        evidence="logs of the branches, nothing of the fusion",
        accuracy=62.18,
        size="37.73 MB x 16",
        mib=37.73,
        training_time="9.7 h",
        hours=9.7,
    )
    unconfirmed = (
        _BRANCHES_NOT_SAID.format(16),
        "The best branch has 57.39 % in the logs.",
        _NO_SCRIPT,
        WEIGHTS_ON_TEST,
        CROPS_NOT_SAID,
    )
    return rows.bands(alexnet(), 4, figures, unconfirmed, model="alexnet-sub16")


def vgg16() -> Recipe:
    """The whole-image VGG-16."""
    figures = SeedFigures(
        accuracy=73.21,
        references=(Reference(73.00, "Simonyan and Zisserman 2015"),),
        size="527.79 MB",
        mib=527.79,
        training_time="81.2 h",
        hours=81.2,
    )
    unconfirmed = (_NO_LOGS, CROPS_NOT_SAID)
    return rows.whole_image("vgg16", "vgg16", "imagenet1k", "VGG-16 on the whole image.", figures, unconfirmed)


def vgg16_sub4() -> Recipe:
    """Four bands, a VGG-16 with batch normalisation each."""
    figures = SeedFigures(
        accuracy=72.82, target=75.00, size="207.82 MB x 4", mib=207.82, training_time="44.14 h", hours=44.14
    )
    unconfirmed = (
        _NO_LOGS,
        _BRANCHES_NOT_SAID.format(4),
        "75.00 % is a target. The network has batch normalisation, which the whole-image row has not.",
        CROPS_NOT_SAID,
    )
    return rows.bands(vgg16(), 2, figures, unconfirmed, model="vgg16-sub4")


def vgg16_sub16() -> Recipe:
    """Sixteen bands, a shortened VGG-19 each."""
    figures = SeedFigures(
        accuracy=64.24, target=73.00, size="128.05 MB x 16", mib=128.05, training_time="26.84 h", hours=26.84
    )
    unconfirmed = (
        _NO_LOGS,
        "It changed to 65.02 % eleven days later; 73.00 % is a target.",
        "The published size is no VGG-16 of 56 px: it is VGG-19 with batch normalisation, without its fifth block.",
        _BRANCHES_NOT_SAID.format(16),
        CROPS_NOT_SAID,
    )
    return rows.bands(vgg16(), 4, figures, unconfirmed, model="vgg16-sub16")


RECIPES = (
    alexnet,
    alexnet_sub4,
    alexnet_sub16,
    vgg16,
    vgg16_sub4,
    vgg16_sub16,
    *imagenet1k_resnets.RECIPES,
)

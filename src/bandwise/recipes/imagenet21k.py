"""The rows of the published ImageNet-21K table, and their lean designs.

    bandwise run in21k-resnet50-sub36 --data winter21_whole.tar --expect winter21 --out runs/in21k-resnet50-sub36

Counts and sizes here are for 10,450 classes, as in upstream's code; a run has the classes of its archive.
"""

from bandwise.recipes import rows
from bandwise.recipes.figures import CROPS_NOT_SAID, STORAGE_CLAIM, Reference, SeedFigures
from bandwise.recipes.recipe import Recipe

_SIZE_OF_34 = (
    "No documented class count gives 122.35 MiB: 10,450 classes give 101.65, 11,221 give 103.15, and 21,841, the "
    "nearest, 123.94. Upstream's code has 10,450, which is used here."
)
_TWO_PROTOCOLS = "The two published sizes belong to different class counts, so the rows are not one protocol."
_STORAGE = (
    "27.27 GB a band is about 2.2 kB an image: the saving is mostly that of resizing and of JPEG, and 36 bands "
    "together take as much as before."
)
_NO_TRANSFORM = "Upstream's evaluation reads folders named as not transformed, so these may be plain phases."


def resnet34() -> Recipe:
    """The whole-image ResNet-34."""
    figures = SeedFigures(
        evidence="nothing; quoted from elsewhere",
        accuracy=40.45,
        size="122.35 MB",
        mib=122.35,
        training_time=">246 h",
        hours=None,
        references=(),
    )
    unconfirmed = (
        _SIZE_OF_34,
        _TWO_PROTOCOLS,
        "The accuracy is quoted from another paper that could not be found to have it.",
        CROPS_NOT_SAID,
    )
    return rows.whole_image(
        "in21k-resnet34", "resnet34", "imagenet21k", "ResNet-34 on the whole image.", figures, unconfirmed
    )


def resnet34_sub36() -> Recipe:
    """Thirty-six bands of 56 px."""
    figures = SeedFigures(
        evidence="notes of four branches; they contradict it",
        accuracy=38.12,
        size="122.35 MB",
        mib=122.35,
        training_time="90 h",
        hours=90.0,
        claims=(STORAGE_CLAIM,),
    )
    unconfirmed = (
        _SIZE_OF_34,
        "38.12 % replaced 35.12 % in an edit of one digit, seconds after a like edit of another row; later notes say "
        "36.90 %. No log supports either.",
        "Two to four of the 36 branches were fused; the notes list 33.67, 25.56, 25.17 and 28.71 %.",
        _NO_TRANSFORM,
        _STORAGE,
        CROPS_NOT_SAID,
    )
    return rows.bands(resnet34(), 6, figures, unconfirmed, stem="dense")


def resnet50() -> Recipe:
    """The whole-image ResNet-50; only its size was published."""
    figures = SeedFigures(
        accuracy=None,
        size="171.56 MB",
        mib=171.56,
        counts_buffers=True,
        references=(Reference(42.2, "a later edition of the table"),),
    )
    unconfirmed = ("No accuracy and no time were published.", _TWO_PROTOCOLS)
    return rows.whole_image(
        "in21k-resnet50", "resnet50", "imagenet21k", "ResNet-50 on the whole image.", figures, unconfirmed
    )


def resnet50_sub36() -> Recipe:
    """Thirty-six bands of 56 px."""
    figures = SeedFigures(
        accuracy=38.80,
        size="171.56 MB",
        mib=171.56,
        counts_buffers=True,
        training_time="33.5 h (8 GPUs)",
        hours=33.5,
        gpus=8,
        claims=(STORAGE_CLAIM,),
    )
    unconfirmed = (
        "The number of branches fused is not recorded; the script of this row reads two of 36.",
        "In later editions this row and that of ResNet-34 have the same figures to the last digit, so one was copied.",
        _TWO_PROTOCOLS,
        _NO_TRANSFORM,
        _STORAGE,
        CROPS_NOT_SAID,
    )
    return rows.bands(resnet50(), 6, figures, unconfirmed, stem="dense")


def resnet34_sub36_lean() -> Recipe:
    """Thirty-six bands with the stem that saves memory."""
    return rows.lean(resnet34_sub36())


def resnet50_sub36_lean() -> Recipe:
    """Thirty-six bands with the stem that saves memory."""
    return rows.lean(resnet50_sub36())


RECIPES = (
    resnet34,
    resnet34_sub36,
    resnet50,
    resnet50_sub36,
    resnet34_sub36_lean,
    resnet50_sub36_lean,
)

"""Which recorded results are compared with which, and why.

Fixed before the figures were known, but for two kinds of pairs. `cifar10-best` was chosen among systems of four
branches by the NLL of its head on the holdout; warm starts and longer training were compared after a trial of them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """A system and its control, each a recipe and `fused` (the rule of its configuration) or another rule."""

    question: str
    first: tuple[str, str]
    second: tuple[str, str]


def _fused(question: str, first: str, second: str) -> Pair:
    return Pair(question, (first, "fused"), (second, "fused"))


MAIN_ROWS = {
    "cifar10-baseline": "one network, whole image",
    "cifar10-baseline-progressive": "the same, started from cifar10-lowres, whose training comes on top",
    "cifar10-sub4": "four bands, a network each",
    "cifar10-sub4-warm": "the same, each started from the network of the low band",
    "cifar10-best": "and with the low band in every branch, fused by a head",
    "cifar10-joint4-long": "one network of a branch's size, all four bands, four times as long",
    "cifar10-ensemble4": "four seeds of the whole image: four times the cost",
    "cifar10-lowres": "one network, low band: the cost of a branch",
    "cifar10-baseline-slim": "one network of half the width, whole image: the cost of a branch",
    "cifar10-baseline-long": "one network, whole image, four times as long",
    "cifar10-sub4-long": "four bands, a network each, four times as long",
    "cifar10-context4-long": "the same with the low band in every branch",
    "photos-baseline": "one network, whole image",
    "photos-sub4": "four bands, a network each",
    "photos-lowres4": "four seeds of the low band",
    "mnist-fc8": "one network of eight layers, whole image",
    "mnist-fc8-sub4": "four bands, a network each (published 98.88 %)",
    "mnist-fc8-sub16": "sixteen bands, a network each (published 97.92 %)",
}
"""The main systems of the evidence, in order, each with a few words."""

README_ROWS = {
    "cifar10-baseline": "the whole image, one network",
    "cifar10-baseline-slim": "the whole image, one network of half the width: the cost of a node",
    "cifar10-sub4": "four bands, a network each",
    "cifar10-best": "the best of four bands: each sees the low band too and starts from its network; fused by a head",
    "cifar10-joint4-long": "all bands, one network of the size of a node's, trained four times as long",
}
"""What the README shows: the method beside what it has to beat."""

PAIRS = (
    _fused("bands against the whole image, equal cost in all", "photos-sub4", "photos-baseline"),
    Pair("the same, both with a head", ("photos-sub4", "head"), ("photos-baseline", "head")),
    _fused("bands against four low-resolution networks", "photos-sub4", "photos-lowres4"),
    Pair("the same, both with a head", ("photos-sub4", "head"), ("photos-lowres4", "head")),
    _fused("bands against the whole image, equal cost in all", "cifar10-sub4", "cifar10-baseline"),
    Pair("the same, both with a head", ("cifar10-sub4", "head"), ("cifar10-baseline", "head")),
    _fused("bands against four low-resolution networks", "cifar10-sub4", "cifar10-lowres4"),
    Pair("the same, both with a head", ("cifar10-sub4", "head"), ("cifar10-lowres4", "head")),
    _fused("bands against one low-resolution network", "cifar10-sub4", "cifar10-lowres"),
    _fused("the low band in every branch, against bands", "cifar10-context4", "cifar10-sub4"),
    Pair("the same, both with a head", ("cifar10-context4", "head"), ("cifar10-sub4", "head")),
    Pair("context and head against the whole image", ("cifar10-context4", "head"), ("cifar10-baseline", "fused")),
    _fused("a warm start of the bands against none", "cifar10-sub4-warm", "cifar10-sub4"),
    Pair("the same, both with a head", ("cifar10-sub4-warm", "head"), ("cifar10-sub4", "head")),
    Pair(
        "a warm start with the low band in every branch against none",
        ("cifar10-best", "learned"),
        ("cifar10-context4", "fused"),
    ),
    Pair("the same, both with a head", ("cifar10-best", "fused"), ("cifar10-context4", "head")),
    _fused("a warm start of the low band alone against none", "cifar10-lowres4-warm", "cifar10-lowres4"),
    _fused("bands against the low band alone, both warm", "cifar10-sub4-warm", "cifar10-lowres4-warm"),
    Pair("the same, both with a head", ("cifar10-sub4-warm", "head"), ("cifar10-lowres4-warm", "head")),
    _fused("warm bands against the whole image, equal cost in all", "cifar10-sub4-warm", "cifar10-baseline"),
    Pair("the same, both with a head", ("cifar10-sub4-warm", "head"), ("cifar10-baseline", "head")),
    _fused("the best system against the whole image, equal cost in all", "cifar10-best", "cifar10-baseline"),
    Pair("the same, both with a head", ("cifar10-best", "fused"), ("cifar10-baseline", "head")),
    _fused("the best system against all bands in one wide network", "cifar10-best", "cifar10-joint4-wide"),
    Pair("the same, both with a head", ("cifar10-best", "fused"), ("cifar10-joint4-wide", "head")),
    Pair(
        "the best system against four warm networks on all bands, all with a head",
        ("cifar10-best", "fused"),
        ("cifar10-joint4-warm", "head"),
    ),
    Pair(
        "the best system against one small network trained four times as long, with a head",
        ("cifar10-best", "fused"),
        ("cifar10-joint4-long", "head"),
    ),
    Pair(
        "the best system against a deep ensemble of four times the cost, with a head",
        ("cifar10-best", "fused"),
        ("cifar10-ensemble4", "head"),
    ),
    _fused("the best system against the low band, equal cost of a branch", "cifar10-best", "cifar10-lowres"),
    _fused("the best system against all bands in one, equal cost of a branch", "cifar10-best", "cifar10-joint4"),
    Pair("the same, both with a head", ("cifar10-best", "fused"), ("cifar10-joint4", "head")),
    _fused("the best system against a slim network, equal cost of a branch", "cifar10-best", "cifar10-baseline-slim"),
    _fused("bands against a network as cheap as one branch", "cifar10-sub4", "cifar10-baseline-slim"),
    _fused("bands against all bands in one wide network", "cifar10-sub4", "cifar10-joint4-wide"),
    _fused("bands against the low band in one wide network", "cifar10-sub4", "cifar10-lowres-wide"),
    _fused("bands against a deep ensemble of four times the cost", "cifar10-sub4", "cifar10-ensemble4"),
    _fused("dct2d against dct1d, without mirroring", "cifar10-sub4-noflip", "cifar10-sub4-dct1d"),
    _fused("dct2d against no transform, without mirroring", "cifar10-sub4-noflip", "cifar10-polyphase4"),
    _fused("dct2d against a random transform, without mirroring", "cifar10-sub4-noflip", "cifar10-random4"),
    _fused("bands against the whole image, both for 24 epochs", "cifar10-sub4-long", "cifar10-baseline-long"),
    Pair("the same, both with a head", ("cifar10-sub4-long", "head"), ("cifar10-baseline-long", "head")),
    Pair(
        "the low band in every branch against the whole image, 24 epochs, both with a head",
        ("cifar10-context4-long", "head"),
        ("cifar10-baseline-long", "head"),
    ),
    _fused(
        "bands against all bands in one small network, both for 24 epochs", "cifar10-sub4-long", "cifar10-joint4-long"
    ),
    Pair(
        "the best system against the whole image started from the low band, both with a head",
        ("cifar10-best", "fused"),
        ("cifar10-baseline-progressive", "head"),
    ),
    _fused("bands against the whole image, without mirroring", "cifar10-sub4-noflip", "cifar10-baseline-noflip"),
    _fused("exact mirroring against none, dct2d", "cifar10-sub4", "cifar10-sub4-noflip"),
    _fused("inexact mirroring against none, dct1d", "cifar10-sub4-dct1d-inexact", "cifar10-sub4-dct1d"),
    _fused("augmentation of the image against that of its bands", "cifar10-sub4-image", "cifar10-sub4"),
    _fused("the same for the whole image", "cifar10-baseline-image", "cifar10-baseline"),
    _fused("unrounded bands against bytes", "cifar10-sub4-float16", "cifar10-sub4"),
    _fused("sixteen bands against four", "cifar10-sub16", "cifar10-sub4"),
    _fused("bands against the whole image, stock stem", "cifar10-sub4-stock", "cifar10-baseline-stock"),
    _fused("four bands against the whole image, eight layers", "mnist-fc8-sub4", "mnist-fc8"),
    _fused("sixteen bands against the whole image, eight layers", "mnist-fc8-sub16", "mnist-fc8"),
)

MAIN_PAIRS = (
    _fused("four bands against the whole image, few photographs", "photos-sub4", "photos-baseline"),
    _fused("the same on CIFAR-10", "cifar10-sub4", "cifar10-baseline"),
    _fused("the same for 24 epochs", "cifar10-sub4-long", "cifar10-baseline-long"),
    _fused("each started from the network of the low band", "cifar10-sub4-warm", "cifar10-baseline"),
    _fused("the best system at that cost", "cifar10-best", "cifar10-baseline"),
    Pair("the same with a head for both", ("cifar10-best", "fused"), ("cifar10-baseline", "head")),
    Pair(
        "the same with a warm start for both, too", ("cifar10-best", "fused"), ("cifar10-baseline-progressive", "head")
    ),
    _fused(
        "against one small network trained four times as long, the same cost of training",
        "cifar10-best",
        "cifar10-joint4-long",
    ),
    _fused("against the low band alone, the cost of a branch", "cifar10-best", "cifar10-lowres"),
)
"""Comparisons that are told in a sentence each."""

MAIN_FUSIONS = ("photos-sub4", "cifar10-sub4", "cifar10-best")
"""Recipes of which the evidence says whether the fusion is above its branches."""

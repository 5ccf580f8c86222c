"""Which ImageNet-21K it is: counts before and after the small classes are dropped, beside the published ones."""

from collections.abc import Mapping
from typing import Any, Literal

from bandwise.errors import UsageError

Expected21k = Literal["any", "fall11", "winter21"]

MIN_IMAGES = 500
VAL_IMAGES = 50

PUBLISHED: dict[str, dict[str, int]] = {
    "fall11": {"classes": 11_221, "images": 12_358_684, "train": 11_797_632, "val": 561_052},
    "winter21": {"classes": 10_450, "images": 11_582_723, "train": 11_060_223, "val": 522_500},
}
"""What the authors of the filter state: Ridnik et al., "ImageNet-21K Pretraining for the Masses", and their code."""


def audit_imagenet21k(
    counts: Mapping[str, int], *, min_images: int = MIN_IMAGES, val_images: int = VAL_IMAGES
) -> dict[str, Any]:
    """Count what the filter keeps, and name the variant.

    Args:
        counts: images of every class in the archive, before the filter.
        min_images: a class with fewer is dropped.
        val_images: images of a class that go to the validation set.

    Returns:
        Ready for JSON: `archive`, `kept` and `dropped` with classes and images; `train` and `val` of what is kept;
        `variant`, which is `fall11`, `winter21` or `unknown` and follows from the kept classes and images;
        `published`, the figures of every variant; `remark`, in words, where ours differ from the published ones.
    """
    kept = [count for count in counts.values() if count >= min_images]
    facts = {"classes": len(kept), "images": sum(kept)}
    val = val_images * len(kept)
    variant = next(
        (name for name, said in PUBLISHED.items() if facts == {key: said[key] for key in facts}),
        "unknown",
    )
    return {
        "source": "imagenet21k",
        "variant": variant,
        "min_images": min_images,
        "val_images": val_images,
        "archive": {"classes": len(counts), "images": sum(counts.values())},
        "kept": facts,
        "dropped": {"classes": len(counts) - len(kept), "images": sum(counts.values()) - sum(kept)},
        "train": sum(kept) - val,
        "val": val,
        "published": PUBLISHED,
        "remark": _remark(variant, sum(kept) - val, val),
    }


def require_variant(where: str, audit: Mapping[str, Any], expect: Expected21k) -> None:
    """Refuse another variant than the expected one.

    Raises:
        UsageError: kept classes or images are not those of `expect`.
    """
    if expect in ("any", audit["variant"]):
        return
    said, kept = PUBLISHED[expect], audit["kept"]
    other = "" if audit["variant"] == "unknown" else f", which is {audit['variant']}"
    raise UsageError(
        f"{where} is not {expect}: it keeps {kept['classes']:,} classes with {kept['images']:,} pictures{other}; "
        f"{expect} has {said['classes']:,} with {said['images']:,}; leave --expect out to use it as it is"
    )


def _remark(variant: str, train: int, val: int) -> str:
    said = PUBLISHED.get(variant)
    if said is None or (said["train"], said["val"]) == (train, val):
        return ""
    return (
        f"published are {said['train']:,} + {said['val']:,}; {said['classes']:,} classes with {val // said['classes']} "
        f"validation pictures each give {train:,} + {val:,}"
    )

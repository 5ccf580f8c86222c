"""The evidence at about the size of picture that the method is for: its tables, and a sentence for each comparison."""

import statistics
from collections.abc import Mapping, Sequence

from bandwise.report.page import Table
from bandwise.report.units import amount
from tools.comparisons import difference
from tools.pairs import Pair
from tools.recorded import Recorded, epochs_of, seeds, top1

ROWS = {
    "imagewoof-whole": "the whole image, one network",
    "imagewoof-joint4": "all bands, one network",
    "imagewoof-sub4-lean": "four bands, a network each with the stock stem",
    "imagewoof-whole-slim": "the whole image, one network of half the width",
    "imagewoof-whole4": "the whole image, four seeds",
    "imagewoof-joint4-seeds": "all bands, four seeds of one network",
    "imagewoof-sub4": "four bands, a network each with the dense stem",
    "imagewoof-context4": "the same with the low band in every branch",
    "imagewoof-lowres4": "the low band, four seeds, dense stem",
    "imagewoof-sub4-noflip": "four bands, without mirroring",
    "imagewoof-sub4-dct1d": "four bands of the paper's transform, without mirroring",
    "imagewoof-random4": "four bands of a random transform, without mirroring",
    "imagewoof-polyphase4": "four phases, without mirroring",
    "imagewoof-sub16": "sixteen bands, a network each with the dense stem",
    "imagewoof-whole-long": "the whole image, one network, three times as long",
    "imagewoof-sub4-lean-long": "four bands, stock stem, three times as long",
    "imagewoof-sub4-long": "four bands, dense stem, three times as long",
    "imagewoof-joint4-long": "all bands, one network, three times as long",
}
"""The systems, those of equal cost in all together, cheapest first; each with a few words."""

README_ROWS = {
    name: ROWS[name] for name in ROWS if name.endswith(("whole", "whole-slim", "whole4", "sub4", "sub4-lean", "-long"))
}
"""What the README shows of them."""

CONTROL = "imagewoof-whole"

HOW_MADE = {
    "imagewoof-180": "Imagewoof2-320, the central square resized to 180 px with Pillow's bicubic filter, WebP of "
    "quality 90 with half the resolution of colours",
}
"""How the pictures of a folder were made that stands for a named set."""


def _both(question: str, first: str, second: str) -> tuple[Pair, Pair]:
    """Compare with the weights of the configuration and with a head for both."""
    first, second = f"imagewoof-{first}", f"imagewoof-{second}"
    return (
        Pair(question, (first, "fused"), (second, "fused")),
        Pair("the same, both with a head", (first, "head"), (second, "head")),
    )


PAIRS = (
    *_both("equal cost of a node, bands against seeds of the whole image", "sub4", "whole4"),
    *_both("equal cost and data of a node, bands against seeds of the low band", "sub4", "lowres4"),
    *_both("equal cost in all, lean bands against one network on the whole image", "sub4-lean", "whole"),
    *_both("equal cost in all, lean bands against all bands in one network", "sub4-lean", "joint4"),
    *_both("equal cost of a node, lean bands against half the width on the whole image", "sub4-lean", "whole-slim"),
    *_both("equal cost of training in all, bands against the whole image for longer", "sub4", "whole-long"),
    *_both("the same cost after three times as long, lean bands", "sub4-lean-long", "whole-long"),
    *_both("the same against all bands in one network", "sub4-lean-long", "joint4-long"),
    *_both("bands against the whole image after three times as long, more cost in all", "sub4-long", "whole-long"),
    *_both("the low band in every branch against bands", "context4", "sub4"),
    *_both("dct2d against the paper's transform, without mirroring", "sub4-noflip", "sub4-dct1d"),
    *_both("dct2d against a random transform, without mirroring", "sub4-noflip", "random4"),
    *_both("dct2d against no transform, without mirroring", "sub4-noflip", "polyphase4"),
    *_both("sixteen bands against four", "sub16", "sub4"),
)
"""Planned comparisons, each beside the same with a head for both."""

MAIN_PAIRS = PAIRS[:18]
"""Those that are told in a sentence each."""

VERDICTS = {
    ("sub4", "whole4"): "About equal cost of a node, a quarter of its data: four bands are {} four seeds of the whole "
    "image",
    (
        "sub4-lean",
        "whole",
    ): "About equal cost in all, a quarter of it and of the data a node: four lean bands are {} one "
    "network on the whole image",
    ("sub4-lean", "whole-slim"): "About equal cost of a node, four of them against one: four lean bands are {} one "
    "network of half the width on the whole image",
    (
        "sub4",
        "whole-long",
    ): "About equal cost of training in all: four bands are {} one network on the whole image that "
    "is trained three times as long",
    (
        "sub4-lean-long",
        "whole-long",
    ): "About equal cost in all, both for 24 epochs: four lean bands are {} one network on the whole image",
    (
        "sub4-long",
        "whole-long",
    ): "3.4 times the cost in all, both for 24 epochs: four bands are {} one network on the whole image",
}
"""What the README says of two systems; the figures come between."""


def natural_table(results: Recorded, rows: Mapping[str, str] = ROWS) -> Table | None:
    """Every system at this size with all ways to fuse it, and what a node and all nodes cost; None where none is."""
    found = {name: results[name] for name in rows if name in results}
    if not found:
        return None
    data = sorted({run.data.name for runs in found.values() for run in runs})
    images = sorted({run.n_eval for runs in found.values() for run in runs})
    return Table(
        caption=f"Measured on pictures of 160 of 180 px: {', '.join(data)}",
        head=(
            "recipe",
            "what it is",
            "seeds",
            "epochs",
            "branches",
            "mean",
            "learned",
            "head",
            "a node: MACs",
            "data",
            "in all: MACs",
            "times epochs",
        ),
        rows=tuple(
            (
                name,
                rows[name],
                seeds(runs),
                str(epochs_of(runs[0])),
                " ".join(
                    f"{100 * sum(run.branches[place].top1 for run in runs) / len(runs):.1f}"
                    for place in range(len(runs[0].branches))
                ),
                top1(runs, "mean"),
                top1(runs, "learned"),
                top1(runs, "head"),
                amount(runs[0].cost.macs_per_branch),
                amount(runs[0].cost.store_bytes_per_branch, "B"),
                amount(runs[0].cost.macs_total),
                amount(runs[0].cost.macs_total * epochs_of(runs[0])),
            )
            for name, runs in found.items()
        ),
        text_columns=frozenset({0, 1}),
        note=f"Mean ± standard deviation over the seeds, {', '.join(f'{count:,}' for count in images)} reported "
        "images; branches: the mean of each over the seeds. MACs: multiply-adds an image, forward; times the epochs "
        f"they compare the cost of training. {_pictures(found)}",
    )


def readme_natural_table(results: Recorded) -> Table | None:
    """The systems that the README shows; None without the one network that they are compared with."""
    found = {name: results[name] for name in README_ROWS if name in results}
    if CONTROL not in found:
        return None
    first = next(iter(found.values()))[0]
    return Table(
        caption=f"Measured on photographs of 160 px ({first.data.name})",
        head=("system", "epochs", "seeds", "top-1", "with a head", "a node: MACs", "data", "in all: MACs"),
        rows=tuple(
            (
                README_ROWS[name].removesuffix(", three times as long"),
                str(epochs_of(runs[0])),
                seeds(runs),
                top1(runs, "fused"),
                top1(runs, "head"),
                amount(runs[0].cost.macs_per_branch),
                amount(runs[0].cost.store_bytes_per_branch, "B"),
                amount(runs[0].cost.macs_total),
            )
            for name, runs in found.items()
        ),
        text_columns=frozenset({0}),
        note=f"Mean ± standard deviation over the seeds, {first.n_eval:,} reported images; resnet10. "
        "MACs: multiply-adds an image, forward; times the epochs they compare the cost of training.",
    )


def verdicts(results: Recorded) -> list[str]:
    """Say in one sentence each, for a reader of the README, which system is above which and by how much."""
    lines = []
    for (first, second), sentence in VERDICTS.items():
        own, other = f"imagewoof-{first}", f"imagewoof-{second}"
        plain = difference(results, (own, "fused"), (other, "fused"))
        if plain is None:
            continue
        head = difference(results, (own, "head"), (other, "head"))
        count = "one seed" if len(plain.points) == 1 else f"{len(plain.points)} seeds"
        also = "" if head is None else f", with a head on both {_apart(head.points)}"
        lines.append(f"{sentence.format(f'{_apart(plain.points)}{also}')} ({count}).")
    return lines


def _apart(points: Sequence[float]) -> str:
    """Write a difference in words: `0.99 points below`."""
    mean = statistics.mean(points)
    size = f"{abs(mean):.2f}" if len(points) == 1 else f"{abs(mean):.2f} ± {statistics.stdev(points):.2f}"
    return f"{size} points {'above' if mean >= 0 else 'below'}"


def _pictures(found: Recorded) -> str:
    """Say which pictures these are: how they were made, and the digest of each store of them."""
    stores: dict[str, dict[str, None]] = {}
    for runs in found.values():
        for run in runs:
            split = run.config["split"]
            label = f"{split['transform']}, stride {split['stride']}: {(run.data.digest or 'unknown')[:12]}"
            stores.setdefault(run.data.name, {})[label] = None
    return " ".join(
        f"{name}: {HOW_MADE.get(name, 'as it is named')}; digests of its stores: {', '.join(labels)}."
        for name, labels in stores.items()
    )

"""Which classes are taken for each other, with pictures of it from the store of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import BandwiseError
from bandwise.report.answers import Answers
from bandwise.report.page import Figure, Gallery, Table
from bandwise.report.pictures import png_uri
from bandwise.report.units import percent
from bandwise.report.view import EvaluatedRun
from bandwise.store.preview import as_picture, stored_pictures

_PAIRS = 20
_SHOWN, _PICTURES, _SIDE = 6, 4, 128


@dataclass(frozen=True, slots=True)
class Confusion:
    """Images of one class that were answered as another one."""

    label: int
    answer: int
    of: int
    """Images of the class."""
    places: NDArray[np.int64]
    """Where they are among the answers, the surest first."""


def confusions(answers: Answers) -> list[Confusion]:
    """Return the most frequent confusions, the first first."""
    wrong = np.flatnonzero(~answers.right)
    classes = int(max(answers.labels.max(), answers.fused.max())) + 1
    pairs, found, counts = np.unique(
        answers.labels[wrong] * classes + answers.fused[wrong], return_inverse=True, return_counts=True
    )
    of = np.bincount(answers.labels)
    listed = []
    for number in np.argsort(-counts, kind="stable")[:_PAIRS].tolist():
        label, answer = divmod(int(pairs[number]), classes)
        places = wrong[found == number]
        listed.append(Confusion(label, answer, int(of[label]), places[np.argsort(-answers.confidence[places])]))
    return listed


def confusion_table(run: EvaluatedRun, found: Sequence[Confusion]) -> Table | None:
    """Return them as a table; None where there are none."""
    if not found:
        return None
    names = run.results.data.classes
    rows = tuple(
        (names[each.label], names[each.answer], str(len(each.places)), percent(len(each.places) / each.of, 1))
        for each in found
    )
    return Table(
        caption="What is taken for what",
        head=("class", "answered as", "images", "of the class"),
        rows=rows,
        text_columns=frozenset({0, 1}),
        note="The most frequent ones." if len(found) == _PAIRS else "",
    )


def confusion_galleries(
    run: EvaluatedRun, store: Path, answers: Answers, found: Sequence[Confusion]
) -> tuple[tuple[Gallery, ...], str]:
    """Return pictures of the first of them, and a sentence on why there are none, empty where there are."""
    shown = [(each, each.places[:_PICTURES]) for each in found[:_SHOWN]]
    if not shown:
        return (), ""
    try:
        pixels = stored_pictures(store, "val", np.concatenate([answers.ids[places] for _, places in shown]))
    except (BandwiseError, OSError) as error:
        return (), f"Pictures of the confusions are left out: {' '.join(str(error).split())}."
    names, left = run.results.data.classes, iter(pixels)
    return tuple(
        Gallery(
            f"{names[each.label]}, answered as {names[each.answer]}: {len(each.places)} of {each.of} images",
            tuple(_tile(next(left), answers, int(place), names[each.label]) for place in places),
        )
        for each, places in shown
    ), ""


def _tile(pixels: NDArray[np.uint8], answers: Answers, place: int, label: str) -> Figure:
    picture = as_picture(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    sure = percent(float(answers.confidence[place]), 0)
    right = int(answers.branch_right[:, place].sum())
    caption = f"{sure} sure; {right} of {len(answers.branches)} branches right"
    return Figure(png_uri(picture), f"image of class {label}: {caption}", caption, picture.width, picture.height)

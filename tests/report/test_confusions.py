"""What is taken for what, against a plain count; pictures of it from a store; and how sure the answers are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.pictures import make_folder

from bandwise.config import SplitConfig
from bandwise.errors import UsageError
from bandwise.report.confusions import confusion_galleries, confusion_table, confusions
from bandwise.report.plots import reliability_chart
from bandwise.report.view import read_view
from bandwise.sources.folder import open_folder
from bandwise.store.preview import stored_pictures
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset


@pytest.fixture(scope="module")
def run(two_runs):
    return read_view(two_runs[0])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("confused")
    pictures = make_folder(root / "pictures", classes=2, train=4, val=6, side=32)
    split_dataset(open_folder(pictures), SplitConfig(stride=2, canvas=32, holdout=0.0), root / "store")
    return root / "store"


def test_they_are_counted_as_a_plain_loop_counts_them(run):
    answers = run.answers
    counted: dict[tuple[int, int], list[int]] = {}
    for place, (label, answer) in enumerate(zip(answers.labels.tolist(), answers.fused.tolist(), strict=True)):
        if label != answer:
            counted.setdefault((label, answer), []).append(place)
    found = confusions(answers)
    assert {(each.label, each.answer): sorted(each.places.tolist()) for each in found} == counted
    sizes = [len(each.places) for each in found]
    assert sizes == sorted(sizes, reverse=True)
    for each in found:
        assert each.of == int((answers.labels == each.label).sum())
        sure = answers.confidence[each.places]
        assert (np.diff(sure) <= 0).all()
    table = confusion_table(run, found)
    names = run.results.data.classes
    assert table.rows[0][:3] == (names[found[0].label], names[found[0].answer], str(sizes[0]))


def test_pictures_are_those_of_the_store(run, store):
    held = open_store(store)
    ids = held.ids("val")[[5, 0]]
    first, second = stored_pictures(store, "val", ids)
    assert first.shape == (16, 16, 3)
    # Class colours differ, and the lowest band of an even picture is that picture made smaller.
    assert not np.array_equal(first, second)
    answers = SimpleNamespace(
        ids=held.ids("val"),
        labels=np.array([0, 0, 0, 1, 1, 1]),
        fused=np.array([1, 0, 1, 1, 1, 0]),
        confidence=np.array([0.6, 0.9, 0.8, 0.9, 0.9, 0.7]),
        right=np.array([0, 1, 0, 1, 1, 0], bool),
        branches=np.zeros((2, 6)),
        branch_right=np.array([[1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 0]], bool),
    )
    two = replace(run, results=replace(run.results, data=replace(run.results.data, classes=("a", "b"))))
    galleries, missing = confusion_galleries(two, store, answers, confusions(answers))
    assert missing == ""
    assert [gallery.caption for gallery in galleries] == [
        "a, answered as b: 2 of 3 images",
        "b, answered as a: 1 of 3 images",
    ]
    captions = [tile.caption for tile in galleries[0].tiles]
    assert captions == ["80 % sure; 0 of 2 branches right", "60 % sure; 1 of 2 branches right"]
    assert (galleries[0].tiles[0].width, galleries[0].tiles[0].height) == (16, 16)


def test_without_the_store_the_reason_is_said(run, store, two_runs):
    galleries, missing = confusion_galleries(run, two_runs[0] / "store", run.answers, confusions(run.answers))
    assert galleries == ()
    assert "Pictures of the confusions are left out" in missing
    with pytest.raises(UsageError, match="does not hold these images"):
        stored_pictures(store, "val", np.array([99_999]))


def test_the_chart_says_what_the_calibration_error_is_made_of(run):
    answers = run.answers
    chart = reliability_chart(answers.confidence, answers.right)
    gap = 0.0
    for low in range(15):
        held = (answers.confidence >= low / 15) & (answers.confidence < (low + 1) / 15)
        if held.any():
            gap += abs(answers.confidence[held].mean() - answers.right[held].mean()) * held.mean()
            assert f"{held.sum()} images" in chart.alt
    assert gap == pytest.approx(answers.calibrated.ece, abs=1e-6)

"""What of the logits is kept, how much it takes, and what it says of the rest."""

import numpy as np
import pytest
from tests.helpers.logits import write_logits

from bandwise.errors import BandwiseError, CorruptionError
from bandwise.files.arrays import open_arrays, write_arrays
from bandwise.runs.logits import TOP, LogitsFile, read_logits

META = {"branch": "0", "split": "val", "crops": "1", "store": "s", "classes": "c"}


def content(samples: int, classes: int) -> LogitsFile:
    draw = np.random.default_rng(classes)
    logits = (3 * draw.normal(size=(samples, classes))).astype(np.float32)
    return LogitsFile(np.arange(samples) * 2, draw.integers(classes, size=samples), logits, META)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("keep", ["full", "float16", "top-64"])
def test_what_is_kept_comes_back(tmp_path, keep):
    given = content(30, 300)
    write_logits(tmp_path / "a", given, keep)
    found = read_logits(tmp_path / "a")
    assert found.keep == keep
    assert found.logits.shape == (30, 300)
    assert np.array_equal(found.ids, given.ids)
    assert np.array_equal(found.labels, given.labels)
    dense = np.asarray(found.logits, np.float64)
    rows = np.empty((5, dense.shape[1]))
    found.read(slice(4, 9), rows)
    assert np.array_equal(rows, dense[4:9])
    kept = {"full": given.logits, "float16": given.logits.astype(np.float16)}
    if keep in kept:
        assert np.array_equal(dense, kept[keep])
        assert (keep == "full") == (found.meta == META)
        return
    own, order = given.logits.astype(np.float64), np.argsort(-given.logits, axis=1)
    largest, others = order[:, :TOP], order[:, TOP:]
    assert np.array_equal(np.take_along_axis(dense, largest, 1), np.take_along_axis(own, largest, 1))
    # The kept classes have their probabilities, and the others share what is left.
    np.testing.assert_allclose(
        np.take_along_axis(softmax(dense), largest, 1), np.take_along_axis(softmax(own), largest, 1), rtol=1e-5
    )
    assert np.ptp(np.take_along_axis(dense, others, 1), axis=1).max() == 0


def test_sizes(tmp_path):
    given = content(200, 1000)
    sizes = {}
    for keep in ("full", "float16", "top-64"):
        write_logits(tmp_path / keep, given, keep)
        sizes[keep] = (tmp_path / keep).stat().st_size
    assert sizes["float16"] < 0.52 * sizes["full"]
    assert sizes["top-64"] < 0.14 * sizes["full"]


@pytest.mark.parametrize("classes", [2, TOP, TOP + 1])
def test_of_few_classes_all_are_kept(tmp_path, classes):
    given = content(9, classes)
    write_logits(tmp_path / "a", given, "top-64")
    assert np.allclose(np.asarray(read_logits(tmp_path / "a").logits), given.logits, atol=1e-6)


def test_what_float16_cannot_hold_is_refused(tmp_path):
    given = content(3, 5)
    given.logits[1, 2] = 1e5
    with pytest.raises(BandwiseError, match=r"a logit of 100000 does not fit float16; use --keep-logits full"):
        write_logits(tmp_path / "a", given, "float16")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("change", "meta"),
    [
        ({"places": lambda old: old + 300}, {}),
        ({"places": lambda old: old - 300}, {}),
        ({"values": lambda old: old[:, :-1]}, {}),
        ({"rest": lambda old: old[:-1]}, {}),
        ({}, {"width": "many"}),
        ({}, {"width": "12"}),
    ],
)
def test_largest_logits_that_do_not_belong_together_are_damage(tmp_path, change, meta):
    write_logits(tmp_path / "a", content(9, 300), "top-64")
    arrays, old = open_arrays(tmp_path / "a")
    write_arrays(tmp_path / "b", {n: change.get(n, np.array)(array) for n, array in arrays.items()}, old | meta)
    with pytest.raises(CorruptionError, match="are not the largest 64 of"):
        read_logits(tmp_path / "b")


def test_a_logit_that_is_not_finite_is_damage(tmp_path):
    for keep, number in (("full", 0), ("top-64", 1)):
        given = content(9, 300)
        given.logits[8, 299] = np.inf
        write_logits(tmp_path / str(number), given, keep)
        with pytest.raises(CorruptionError, match="holds logits that are not finite"):
            read_logits(tmp_path / str(number))

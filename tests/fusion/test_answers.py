"""Files of branches that do not belong together are refused, by name and with the difference."""

import json

import numpy as np
import pytest
from safetensors.numpy import save
from tests.helpers.logits import write_logits

from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.fusion.answers import load_branches
from bandwise.runs.logits import LogitsFile

META = {"split": "holdout", "crops": "1", "store": "ab" * 32, "classes": "cd" * 32}


@pytest.fixture
def write(tmp_path):
    def build(branch, *, ids=(1, 2, 5), labels=(0, 1, 2), columns=3, without=(), meta=None):
        path = tmp_path / f"branch-{branch:02d}-{len(list(tmp_path.iterdir()))}.safetensors"
        logits = np.random.default_rng(branch).normal(size=(len(ids), columns)).astype(np.float32)
        merged = {
            key: value for key, value in {**META, "branch": str(branch), **(meta or {})}.items() if key not in without
        }
        write_logits(path, LogitsFile(np.array(ids, dtype=np.int64), np.array(labels, dtype=np.int64), logits, merged))
        return path

    return build


def test_branches_are_stacked_in_the_order_given(write):
    data = load_branches([write(3), write(0)])
    assert data.branches == (3, 0)
    assert data.logits.shape == (2, 3, 3)
    assert data.logits.dtype == np.float64
    expected = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    np.testing.assert_array_equal(data.logits[1], expected)
    assert (data.split, data.crops, data.ids.tolist(), data.labels.tolist()) == ("holdout", 1, [1, 2, 5], [0, 1, 2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta": {"split": "val"}}, "split is val, not holdout"),
        ({"meta": {"crops": "10"}}, "crops is 10, not 1"),
        ({"meta": {"store": "ef" * 32}}, "store is efef.*, not abab"),
        ({"meta": {"classes": "01" * 32}}, "classes is 0101.*, not cdcd"),
        ({"columns": 4}, "it has 4 classes, not 3"),
        ({"ids": (1, 2, 6)}, "the samples differ: 2 ids stand in only one of them, for example 5"),
        ({"ids": (1, 2), "labels": (0, 1)}, "the samples differ: 1 ids stand in only one of them, for example 5"),
        ({"labels": (0, 2, 2)}, "sample 2 has label 2, not 1"),
    ],
)
def test_what_does_not_belong_together_is_refused(write, changes, message):
    with pytest.raises(IncompatibleError, match=rf"branch 1 \(.*\) does not fit branch 0 \(.*\): {message}"):
        load_branches([write(0), write(1, **changes)])


@pytest.mark.parametrize(
    ("branches", "changes", "error", "message"),
    [
        ((2, 0, 2), {}, IncompatibleError, "two of the files hold branch 2; name every branch once"),
        ((), {}, UsageError, "no logits to fuse"),
        ((0,), {"ids": (), "labels": ()}, UsageError, "holds no samples"),
        *(((0,), {"without": (key,)}, CorruptionError, f"does not say its {key}") for key in ("branch", *META)),
        ((0,), {"labels": (0, 1, -1)}, CorruptionError, "a label lies outside 0 to 2"),
        ((0,), {"labels": (0, 1, 3)}, CorruptionError, "a label lies outside 0 to 2"),
        ((0,), {"meta": {"branch": "-1"}}, CorruptionError, "branch and crops must be numbers, not '-1'"),
    ],
)
def test_files_that_cannot_be_fused_are_refused(write, branches, changes, error, message):
    with pytest.raises(error, match=message):
        load_branches([write(branch, **changes) for branch in branches])


def test_non_finite_logits_are_refused(tmp_path, write):
    good, bad = write(0), tmp_path / "bad.safetensors"
    logits = np.zeros((3, 3), dtype=np.float32)
    logits[1, 2] = np.inf
    write_logits(bad, LogitsFile(np.array([1, 2, 5]), np.array([0, 1, 2]), logits, {**META, "branch": "1"}))
    with pytest.raises(CorruptionError, match="not finite"):
        load_branches([good, bad])


@pytest.mark.parametrize("meta", [None, {"branch": "0", "split": "val"}])
def test_an_old_or_foreign_file_is_refused_as_such(tmp_path, meta):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"ids": np.arange(2)}, meta))
    with pytest.raises(CorruptionError, match="does not say what it belongs to; remove it"):
        load_branches([path])


@pytest.mark.parametrize("meta", [{"crops": 1}, ["crops"], "crops", None])
def test_a_description_that_is_no_mapping_of_texts_is_refused(tmp_path, meta):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"ids": np.arange(2)}, {"bandwise": json.dumps(meta)}))
    with pytest.raises(CorruptionError, match="no mapping of texts"):
        load_branches([path])

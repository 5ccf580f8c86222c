"""Files of named arrays say what they belong to, and take memory for what is touched."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from bandwise.errors import CorruptionError
from bandwise.files.arrays import (
    drop_pages,
    open_arrays,
    read_arrays,
    read_arrays_meta,
    write_arrays,
    writing_arrays,
)


def test_array_files_say_what_they_belong_to(tmp_path):
    write_arrays(tmp_path / "a", {"x": np.arange(3)}, {"of": "me"})
    arrays, meta = read_arrays(tmp_path / "a", {"x"})
    assert arrays["x"].tolist() == [0, 1, 2]
    assert meta == read_arrays_meta(tmp_path / "a") == {"of": "me"}
    with pytest.raises(CorruptionError, match=r"holds \['x'\]; expected \['y'\]"):
        read_arrays(tmp_path / "a", {"y"})


ARRAYS = {
    "labels": np.arange(7),
    "ids": np.arange(7) * 2,
    "half": np.linspace(0, 1, 21, dtype=np.float16).reshape(7, 3),
    "bytes": np.arange(3, dtype=np.uint8),
    "b": np.ones((2, 5), np.float32),
    "a": np.zeros((0, 4), np.float32),
    "double": np.float64([0.5]),
    "small": np.arange(5, dtype=np.int32),
}


def test_the_bytes_are_those_of_the_library(tmp_path):
    write_arrays(tmp_path / "a", ARRAYS, {"of": 'a "name" \u00e4', "b": "\\"})
    content = (tmp_path / "a").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert content == save(ARRAYS, header["__metadata__"])
    found, _ = open_arrays(tmp_path / "a")
    for name, array in load(content).items():
        assert array.dtype == found[name].dtype == ARRAYS[name].dtype
        assert np.array_equal(found[name], ARRAYS[name])


def test_rows_come_in_any_order_and_all_of_them(tmp_path):
    views = np.random.default_rng(0).random((2, 9, 4)).astype(np.float32)
    kinds = {"views": (np.float32, views.shape)}
    with writing_arrays(tmp_path / "a", kinds, {}) as writer:
        for start, stop in ((4, 9), (0, 4)):
            for view in range(2):
                writer.put("views", view * 9 + start, views[view, start:stop])
    assert np.array_equal(open_arrays(tmp_path / "a")[0]["views"], views)
    with pytest.raises(AssertionError), writing_arrays(tmp_path / "b", kinds, {}) as writer:
        writer.put("views", 0, views[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_mapped_arrays_are_the_same_after_their_pages_were_dropped(tmp_path):
    write_arrays(tmp_path / "a", ARRAYS, {})
    half = open_arrays(tmp_path / "a")[0]["half"]
    assert not half.flags.writeable
    before = half.copy()
    drop_pages(half[2:4])
    assert np.array_equal(half, before)
    drop_pages(before)

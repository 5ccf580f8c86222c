"""Files of named arrays say what they belong to."""

import numpy as np
import pytest

from bandwise.errors import CorruptionError
from bandwise.files.arrays import read_arrays, read_arrays_meta, write_arrays


def test_array_files_say_what_they_belong_to(tmp_path):
    write_arrays(tmp_path / "a", {"x": np.arange(3)}, {"of": "me"})
    arrays, meta = read_arrays(tmp_path / "a", {"x"})
    assert arrays["x"].tolist() == [0, 1, 2]
    assert meta == read_arrays_meta(tmp_path / "a") == {"of": "me"}
    with pytest.raises(CorruptionError, match=r"holds \['x'\]; expected \['y'\]"):
        read_arrays(tmp_path / "a", {"y"})

"""Reading one file: what is retried, what is not, and what an outage is never mistaken for."""

import errno

import pytest

from bandwise.config import SplitConfig
from bandwise.errors import IncompatibleError
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.folder import open_folder
from bandwise.sources.reading import DELAYS_S, read_file, read_retrying


class Failing:
    """Fails so many times with one error, then returns a value."""

    def __init__(self, code, times):
        self.code, self.times, self.calls = code, times, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.code, "injected")
        return b"content"


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_transient_errors_are_retried_with_growing_pauses(code, times):
    read, pauses = Failing(code, times), []
    assert read_retrying(read, sleep=pauses.append) == b"content"
    assert read.calls == times + 1
    assert pauses == list(DELAYS_S[:times])
    assert list(DELAYS_S) == sorted(DELAYS_S)


def test_an_outage_that_lasts_is_raised():
    read = Failing(errno.EIO, 99)
    with pytest.raises(OSError, match="injected"):
        read_retrying(read, sleep=lambda _: None)
    assert read.calls == 4


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.ENOSPC])
def test_other_errors_are_not_retried(code):
    read, pauses = Failing(code, 1), []
    with pytest.raises(OSError, match="injected"):
        read_retrying(read, sleep=pauses.append)
    assert (read.calls, pauses) == (1, [])


def test_an_outage_is_never_a_bad_picture(tmp_path, monkeypatch):
    (tmp_path / "train/a").mkdir(parents=True)
    (tmp_path / "train/a/1.png").write_bytes(b"not looked at")
    monkeypatch.setattr("bandwise.sources.reading.DELAYS_S", (0.0, 0.0, 0.0))
    read = Failing(errno.ESTALE, 99)
    monkeypatch.setattr("bandwise.sources.reading._read_once", lambda *_: read())
    with pytest.raises(OSError, match="injected"):
        load_canvas(open_folder(tmp_path), b"train/a/1.png", SplitConfig())
    assert read.calls == 4


def test_part_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    assert read_file(bytes(path)) == bytes(range(100))
    assert read_file(bytes(path), offset=10, count=5) == bytes(range(10, 15))
    with pytest.raises(IncompatibleError, match="ends before byte 101"):
        read_file(bytes(path), offset=98, count=3)

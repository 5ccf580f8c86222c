"""Files at an address arrive whole or not at all, go on where they were broken off, and errors say what to do."""

import hashlib
import io

import fsspec
import pytest

from bandwise.errors import CorruptionError, Preempted, UsageError
from bandwise.files import remote as module
from bandwise.files.remote import Expected, Remote, is_address, tree_names

CONTENT = bytes(range(256)) * 9000
EXPECTED = Expected(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_S", 0)


@pytest.fixture
def away(tmp_path):
    """An address that holds `data/file`, and its file system."""
    system = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}"
    system.pipe_file(f"{root}/data/file", CONTENT)
    yield system, f"memory:/{root}"
    system.rm(root, recursive=True)


def breaking(system, monkeypatch, after: int, times: int):
    """Have the connection end after so many bytes of each of the first transfers; return where each began."""
    begun: list[int] = []

    class Breaking(io.BytesIO):
        left = after

        def seek(self, offset, whence=0):
            begun.append(offset)
            return super().seek(offset, whence)

        def read(self, size=-1):
            if len(begun) > times:
                return super().read(size)
            if not self.left:
                raise ConnectionResetError("reset by peer")
            size = min(size, self.left)
            self.left -= size
            return super().read(size)

    def opened(path, mode="rb", **_):
        return Breaking(system.cat_file(path))

    monkeypatch.setattr(system, "open", opened)
    return begun


def test_a_file_arrives_and_is_not_fetched_twice(away, tmp_path):
    remote = Remote(away[1])
    assert remote.sizes() == remote.sizes("data") == {"data/file": len(CONTENT)}
    assert remote.fetch({"data/file": EXPECTED}, tmp_path, "fetch") == len(CONTENT)
    assert (tmp_path / "data/file").read_bytes() == CONTENT
    assert remote.fetch({"data/file": EXPECTED}, tmp_path, "fetch") == 0
    assert list(tree_names(tmp_path)) == ["data/file"]


def test_a_broken_transfer_goes_on_where_it_ended(away, tmp_path, monkeypatch):
    begun = breaking(away[0], monkeypatch, after=1 << 20, times=2)
    Remote(away[1]).fetch({"data/file": EXPECTED}, tmp_path, "fetch")
    assert begun == [0, 1 << 20, 2 << 20]
    assert (tmp_path / "data/file").read_bytes() == CONTENT


def test_one_that_keeps_breaking_ends_resumable_and_the_next_call_goes_on(away, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        breaking(away[0], patched, after=1000, times=99)
        with pytest.raises(Preempted, match="reset by peer; what has arrived is kept"):
            Remote(away[1]).fetch({"data/file": EXPECTED}, tmp_path, "fetch")
    assert not (tmp_path / "data/file").exists()
    begun = breaking(away[0], monkeypatch, after=0, times=0)
    Remote(away[1]).fetch({"data/file": EXPECTED}, tmp_path, "fetch")
    assert begun == [3000]
    assert (tmp_path / "data/file").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x", b""])
def test_another_content_is_refused_and_nothing_of_it_stays(content, away, tmp_path):
    away[0].pipe_file(f"{away[1].removeprefix('memory:/')}/data/file", content)
    with pytest.raises(CorruptionError, match="data/file is not the file that was written"):
        Remote(away[1]).fetch({"data/file": EXPECTED}, tmp_path, "fetch")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_lies_there_half_and_is_too_long_begins_again(away, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".part-file").write_bytes(CONTENT + b"more")
    Remote(away[1]).fetch({"data/file": EXPECTED}, tmp_path, "fetch")
    assert (tmp_path / "data/file").read_bytes() == CONTENT


def test_a_missing_file_is_named(away, tmp_path):
    with pytest.raises(CorruptionError, match="lacks data/other"):
        Remote(away[1]).fetch({"data/other": EXPECTED}, tmp_path, "fetch")
    with pytest.raises(UsageError, match=r"has no MANIFEST\.json; look at the address"):
        Remote(away[1]).read("MANIFEST.json")


def test_what_was_sent_is_not_sent_again_unless_it_may_change(away, tmp_path):
    for name in ("a/one", "b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    remote = Remote(f"{away[1]}/new")
    assert remote.push(tmp_path, ["a/one", "b"], "push", replace=lambda name: False) == 6
    assert remote.push(tmp_path, ["a/one", "b"], "push", replace=lambda name: name == "b") == 1
    assert remote.sizes() == {"a/one": 5, "b": 1}


def test_an_address_that_nobody_knows():
    assert [is_address(place) for place in ("s3://bucket/x", "runs/x", "/a:/b")] == [True, False, False]
    with pytest.raises(UsageError, match=r"nothing.*give an address such as"):
        Remote("nothing://here/x")


def test_a_denied_address_speaks_of_credentials(away, monkeypatch):
    def denied(*_, **__):
        raise PermissionError("Forbidden")

    monkeypatch.setattr(away[0], "cat_file", denied)
    with pytest.raises(UsageError, match="look at the credentials"):
        Remote(away[1]).read("data/file")

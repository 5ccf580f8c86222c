"""The folder of a store, looked at while another process begins in it."""

import dataclasses
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource

from bandwise.errors import UsageError
from bandwise.store.writing.split import require_own_place

SOURCE = RandomSource(train=2, val=1)


def listed_after(monkeypatch, work) -> None:
    """Let `work` happen between what was looked at before the listing and the listing itself."""
    listing = Path.iterdir

    def listed(path: Path):
        monkeypatch.setattr(Path, "iterdir", listing)
        work()
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", listed)


def test_a_rival_that_begins_the_same_store_at_the_same_moment_is_no_stranger(tmp_path, monkeypatch):
    def rival():
        (tmp_path / "STORE.json").write_text("{}")
        (tmp_path / "band-00").mkdir()

    listed_after(monkeypatch, rival)
    require_own_place(SOURCE, tmp_path)
    assert (tmp_path / "band-00").is_dir(), "the folder was never listed"


def test_somebody_elses_file_that_comes_at_the_same_moment_is_one(tmp_path, monkeypatch):
    listed_after(monkeypatch, lambda: (tmp_path / "thesis.tex").touch())
    with pytest.raises(UsageError, match=r"it holds thesis\.tex"):
        require_own_place(SOURCE, tmp_path)


@pytest.mark.parametrize("name", ["probe", "clock", "STORE.json"])
def test_what_a_kill_has_left_of_ours_is_no_stranger(tmp_path, name):
    (tmp_path / f".tmp-{name}.17.0123abcd").touch()
    require_own_place(SOURCE, tmp_path)


def test_nothing_is_written_into_a_source_of_any_kind(tmp_path):
    """Every source says where it reads from, not only a folder of pictures."""
    with pytest.raises(UsageError, match="overlap"):
        require_own_place(dataclasses.replace(SOURCE, root=tmp_path / "set"), tmp_path / "set" / "store")

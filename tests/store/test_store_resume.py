"""When a store may be continued, and when a run is refused before it touches anything."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.helpers.arrays import CONFIG, SOURCE
from tests.helpers.trees import tree
from tests.pictures import make_folder

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, IncompatibleError, TooManyBadInputs, UsageError
from bandwise.sources.folder import open_folder
from bandwise.store.reading.store import open_store
from bandwise.store.reconstruct import reconstruct_store
from bandwise.store.verify import verify_store
from bandwise.store.writing.split import require_store_folder, split_dataset


def test_too_many_unreadable_samples_stop_and_can_be_allowed_later(tmp_path):
    source = dataclasses.replace(SOURCE, broken=frozenset({b"train/%05d" % number for number in range(5)}))
    with pytest.raises(TooManyBadInputs, match=r"4 unreadable images, 1 are allowed.*--max-bad"):
        split_dataset(source, CONFIG, tmp_path / "s", max_bad=1)
    committed = tree(tmp_path / "s" / "commits")
    assert committed
    assert not (tmp_path / "s" / "MANIFEST.json").exists()
    with pytest.raises(CorruptionError, match="not finished: run split again"):
        open_store(tmp_path / "s")
    result = split_dataset(source, CONFIG, tmp_path / "s", max_bad=5)
    assert result["skipped"] == 5
    assert committed.items() <= tree(tmp_path / "s" / "commits").items()


def test_bands_added_later_are_those_of_one_go(whole, tmp_path):
    for bands in ("2", "0", "1,3"):
        split_dataset(SOURCE, dataclasses.replace(CONFIG, bands=bands), tmp_path / "s")
    parts, at_once = tree(tmp_path / "s"), tree(whole)
    same = {name for name in at_once if name.startswith("band-") or name in ("samples.parquet", "README.md")}
    assert {name: parts[name] for name in same} == {name: at_once[name] for name in same}
    assert "commits/train-00000.bands-1_3.json" in parts
    later, first = open_store(tmp_path / "s"), open_store(whole)
    assert later.bands == first.bands == (0, 1, 2, 3)
    assert later.digest == first.digest
    assert np.array_equal(later.mean(later.bands), first.mean(first.bands))


def test_other_libraries_are_refused(whole, monkeypatch):
    monkeypatch.setattr("bandwise.store.origin.decoder_versions", lambda: {"pillow": "0.1"})
    with pytest.raises(IncompatibleError, match=r"versions\.pillow: '[\d.]+' -> '0\.1'"):
        split_dataset(SOURCE, CONFIG, whole)


def test_a_finished_store_is_left_alone(whole):
    stamps = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    result = split_dataset(SOURCE, CONFIG, whole)
    assert result["groups_written"] == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path != whole} == {
        path: stamp for path, stamp in stamps.items() if path != whole
    }


def test_a_source_that_was_renamed_is_the_same(tmp_path):
    """The sample list decides: a finished store is left, bands are added and a stopped split goes on, all as before."""
    folder, config = make_folder(tmp_path / "photos", train=4, val=2, side=16), SplitConfig(canvas=8, holdout=0)
    split_dataset(open_folder(folder), config, tmp_path / "whole")
    split_dataset(open_folder(folder), dataclasses.replace(config, bands="0"), tmp_path / "part")
    split_dataset(open_folder(folder), config, tmp_path / "begun")
    (tmp_path / "begun" / "MANIFEST.json").unlink()
    (tmp_path / "begun" / "commits" / "train-00000.json").unlink()
    source = open_folder(folder.rename(tmp_path / "pictures"))
    assert source.name == "pictures"
    whole = tree(tmp_path / "whole")
    assert split_dataset(source, config, tmp_path / "whole")["groups_written"] == 0
    assert split_dataset(source, config, tmp_path / "begun")["groups_written"] == 1
    split_dataset(source, dataclasses.replace(config, bands="1-3"), tmp_path / "part")
    assert tree(tmp_path / "whole") == tree(tmp_path / "begun") == whole
    part = tree(tmp_path / "part")
    same = {name for name in whole if not name.startswith(("commits/", "MANIFEST"))}
    assert {name: part[name] for name in same} == {name: whole[name] for name in same}
    (tmp_path / "begun" / "band-01" / "val-00000-of-00001.parquet").unlink()
    verify_store(tmp_path / "begun", repair=True, source=source)
    assert tree(tmp_path / "begun") == whole
    assert reconstruct_store(tmp_path / "whole", source)["n"] > 0


def test_options_out_of_range_are_refused(tmp_path):
    with pytest.raises(UsageError, match="workers is 0"):
        split_dataset(SOURCE, CONFIG, tmp_path / "s", workers=0)
    with pytest.raises(UsageError, match="max_bad is -1"):
        split_dataset(SOURCE, CONFIG, tmp_path / "s", max_bad=-1)


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
    require_store_folder(SOURCE, tmp_path)
    assert (tmp_path / "band-00").is_dir(), "the folder was never listed"


def test_somebody_elses_file_that_comes_at_the_same_moment_is_one(tmp_path, monkeypatch):
    listed_after(monkeypatch, lambda: (tmp_path / "thesis.tex").touch())
    with pytest.raises(UsageError, match=r"it holds thesis\.tex"):
        require_store_folder(SOURCE, tmp_path)


@pytest.mark.parametrize("name", ["probe", "clock", "STORE.json"])
def test_what_a_kill_has_left_of_ours_is_no_stranger(tmp_path, name):
    (tmp_path / f".tmp-{name}.17.0123abcd").touch()
    require_store_folder(SOURCE, tmp_path)


def test_nothing_is_written_into_a_source_of_any_kind(tmp_path):
    """Every source says where it reads from, not only a folder of pictures."""
    with pytest.raises(UsageError, match="overlap"):
        require_store_folder(dataclasses.replace(SOURCE, root=tmp_path / "set"), tmp_path / "set" / "store")

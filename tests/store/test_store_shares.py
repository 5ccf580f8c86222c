"""Several machines split shares of one set: together they have the bytes of one that split all of it."""

import dataclasses
import json
import shutil

import pytest
from tests.helpers.arrays import CONFIG, SOURCE
from tests.helpers.trees import tree
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset


def test_shares_in_one_folder_are_the_store_of_one_machine(whole, tmp_path):
    groups = sum(len(list((whole / "band-00").glob(f"{split}-*"))) for split in ("train", "holdout", "val"))
    written = []
    for number in (1, 2, 3):
        part = tmp_path / f"part-{number}"
        written.append(split_dataset(SOURCE, CONFIG, part, share=(number, 3))["groups_written"])
        assert len(list((part / "commits").iterdir())) == written[-1] < groups
        with pytest.raises(CorruptionError, match="not finished: run split again"):
            open_store(part)
        shutil.copytree(part, tmp_path / "store", dirs_exist_ok=True)
    assert sum(written) == groups
    assert split_dataset(SOURCE, CONFIG, tmp_path / "store")["groups_written"] == 0
    assert tree(tmp_path / "store") == tree(whole)


def test_a_share_goes_on_and_one_that_is_lost_is_written_by_whoever_makes_the_store(whole, tmp_path):
    first = split_dataset(SOURCE, CONFIG, tmp_path / "s", share=(1, 2))
    assert split_dataset(SOURCE, CONFIG, tmp_path / "s", share=(1, 2))["groups_written"] == 0
    last = split_dataset(SOURCE, CONFIG, tmp_path / "s")
    assert last["groups_written"] == first["of_groups"] - first["groups"]
    assert tree(tmp_path / "s") == tree(whole)


def test_a_share_of_another_split_is_refused(tmp_path):
    for number, config in ((1, CONFIG), (2, dataclasses.replace(CONFIG, split_seed=7))):
        split_dataset(SOURCE, config, tmp_path / f"part-{number}", share=(number, 2))
        shutil.copytree(tmp_path / f"part-{number}", tmp_path / "store", dirs_exist_ok=True)
    with pytest.raises(IncompatibleError, match="split_seed: 7 -> 0"):
        split_dataset(SOURCE, CONFIG, tmp_path / "store")


def test_the_command_takes_a_share(tmp_path, capsys):
    pictures = make_folder(tmp_path / "pictures", classes=2, train=6, val=2, side=24)
    flags = ["split", "--data", str(pictures), "--stride", "2", "--canvas", "24", "--workers", "1", "--json"]
    assert main([*flags, "--out", str(tmp_path / "s"), "--share", "1/2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["share"], said["groups"], said["groups_written"]) == ("1/2", 2, 2)
    for wrong, words in (("3/2", "--share is '3/2'"), ("half", "--share is 'half'"), ("1/99", "at most 3 shares")):
        assert main([*flags, "--out", str(tmp_path / "other"), "--share", wrong]) == UsageError.exit_code
        assert words in capsys.readouterr().err

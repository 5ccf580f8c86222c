"""The same images and the same initial weights, at another place than when the run was made."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bandwise.config import RunConfig
from bandwise.errors import IncompatibleError
from bandwise.files.documents import write_json
from bandwise.files.regular import sha256_file
from bandwise.runs.run import create_run, open_run


def of(data: Path | str, initial: Path | str = "") -> RunConfig:
    config = RunConfig()
    return replace(
        config,
        data=replace(config.data, data=str(data)),
        network=replace(config.network, initial_checkpoint=str(initial)),
    )


def test_other_ways_to_the_same_place_are_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "start.safetensors").write_bytes(b"weights")
    (tmp_path / "link").symlink_to("images")
    monkeypatch.chdir(tmp_path)
    create_run(tmp_path / "run", of("images", "start.safetensors"))
    for data in (tmp_path / "images", "./images/", "link"):
        wanted = of(data, tmp_path / "start.safetensors")
        assert create_run(tmp_path / "run", wanted).config == wanted
    assert "data.data: 'images' -> 'link'" in capsys.readouterr().err
    assert open_run(tmp_path / "run").config == of("images", "start.safetensors")


def test_another_folder_is_refused_while_the_store_cannot_tell(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    create_run(tmp_path / "run", of(tmp_path / "one"))
    (tmp_path / "run" / "store").mkdir()
    with pytest.raises(IncompatibleError, match=r"(?s)data\.data: .*nothing is trained in it yet"):
        create_run(tmp_path / "run", of(tmp_path / "other"))


@pytest.mark.parametrize("name", ["MANIFEST.json", "commits/train-00000.json"])
def test_another_folder_is_left_to_the_store_to_compare(tmp_path, name):
    create_run(tmp_path / "run", of(tmp_path / "one"))
    file = tmp_path / "run" / "store" / name
    file.parent.mkdir(parents=True)
    file.touch()
    wanted = of(tmp_path / "other")
    assert create_run(tmp_path / "run", wanted).config == wanted


def started(run: Path, sha256: str | None) -> None:
    folder = run / "branch-01" / "step-000000004"
    folder.mkdir(parents=True)
    write_json(folder / "state.json", {"initial_checkpoint": sha256 and {"name": "start", "sha256": sha256}})


def test_moved_weights_are_known_by_what_a_branch_has_started_from(tmp_path):
    old, new = tmp_path / "start.safetensors", tmp_path / "moved.safetensors"
    old.write_bytes(b"weights")
    create_run(tmp_path / "run", of("photos", old))
    started(tmp_path / "run", sha256_file(old))
    old.rename(new)
    assert create_run(tmp_path / "run", of("photos", new)).config == of("photos", new)
    new.write_bytes(b"other weights")
    with pytest.raises(IncompatibleError, match=r"(?s)network\.initial_checkpoint: .*started from"):
        create_run(tmp_path / "run", of("photos", new))


@pytest.mark.parametrize("sha256", ["no branch", None, "damaged"])
def test_moved_weights_that_no_branch_knows_are_refused_with_a_way_on(tmp_path, sha256):
    old, new = tmp_path / "start.safetensors", tmp_path / "moved.safetensors"
    old.write_bytes(b"weights")
    create_run(tmp_path / "run", of("photos", old))
    if sha256 != "no branch":
        started(tmp_path / "run", sha256)
    if sha256 == "damaged":
        (tmp_path / "run" / "branch-01" / "step-000000004" / "state.json").write_text("{")
    old.rename(new)
    with pytest.raises(IncompatibleError, match=r"leave a link at their old place \(ln -s NEW OLD\)"):
        create_run(tmp_path / "run", of("photos", new))
    old.symlink_to(new)
    assert create_run(tmp_path / "run", of("photos", new)).config == of("photos", new)


def test_what_differs_beside_the_place_is_still_refused(tmp_path):
    (tmp_path / "images").mkdir()
    create_run(tmp_path / "run", of(tmp_path / "images"))
    wanted = replace(of(tmp_path / "run" / ".." / "images"), branches="0")
    with pytest.raises(IncompatibleError, match="branches") as caught:
        create_run(tmp_path / "run", wanted)
    assert "data.data" not in str(caught.value)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["data"]["data"] == str(tmp_path / "images")

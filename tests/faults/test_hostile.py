"""F17, F19, F12: what strangers send ends with the right exit status: no crash, no hang, nothing outside touched."""

import json
from pathlib import Path

import pytest
from tests.faults import hostile, material
from tests.faults.hostile import Case
from tests.faults.hostile_pictures import write_pictures
from tests.faults.processes import CRASHED, Server
from tests.faults.scale import share
from tests.pictures import make_folder

pytestmark = pytest.mark.timeout(1800)
EVERY = share(1, 12)
MEMORY = 2 << 30


def endure(server: Server, case: Case, folder: Path, broken: str | None = None) -> None:
    """Run one case in a folder of its own, beside things that it must not touch."""
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "precious").write_text("x")
    place = folder / "place" / "inner"
    place.mkdir(parents=True)
    command = case.build(place)
    ended = server.run("command", argv=command, cwd=place, memory=MEMORY, timeout_s=120, broken=broken)
    assert ended.code is not None, f"{case.name}: it hangs"
    assert "Traceback" not in ended.log, f"{case.name}: {ended.log[-3000:]}"
    assert ended.code != CRASHED
    assert ended.code in case.codes, f"{case.name}: exit code {ended.code}, {ended.log[-2000:]}"
    assert ended.log.strip(), f"{case.name}: no word of explanation"
    left = sorted(path.name for path in (*folder.iterdir(), *(folder / "place").iterdir()))
    assert left == ["inner", "outside", "place"], f"{case.name}: it has left {left}"
    assert material.tree(folder / "outside").keys() == {"precious"}
    assert not list(folder.rglob("CANARY"))


@pytest.fixture(scope="module")
def families(small, run_folder, tmp_path_factory) -> dict[str, list[Case]]:
    folder = tmp_path_factory.mktemp("pictures")
    picture = next(make_folder(folder, classes=1, train=1, val=1).rglob("*.png"))
    return {
        "stores": hostile.stores(small),
        "checkpoints": hostile.checkpoints(run_folder, picture),
        "configurations": hostile.configs(run_folder / "store"),
        "archives": hostile.tars(),
    }


@pytest.mark.parametrize("family", ["stores", "checkpoints", "configurations", "archives"])
def test_hostile_files_end_with_the_right_status(server, families, tmp_path, family):
    cases = families[family][::EVERY]
    problems = []
    for number, case in enumerate(cases):
        try:
            endure(server, case, tmp_path / str(number))
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, f"{len(problems)} of {len(cases)}:\n" + "\n".join(problems[:25])


def test_hostile_pictures_get_a_row_each(server, run_folder, tmp_path):
    count = write_pictures(tmp_path / "pictures", share(120, 12))
    argv = ["predict", str(run_folder), str(tmp_path / "pictures"), "--json"]
    ended = server.run("command", argv=argv, cwd=tmp_path, memory=MEMORY, timeout_s=300)
    assert ended.code == 3, ended.log[-3000:]
    rows = json.loads(next(line for line in ended.log.splitlines() if line.startswith("{")))["predictions"]
    assert len(rows) == count
    assert all(row["status"] in ("ok", "error") and (row["status"] == "ok" or row["reason"]) for row in rows)
    certain = ("bomb", "no-", "html", "eps", "psd", "svg", "pickle", "script", "empty", "one-byte", "pointer")
    assert all(row["status"] == "error" for row in rows if Path(row["path"]).name.startswith(certain))
    assert not list(tmp_path.rglob("CANARY"))


def test_hostile_pictures_are_skipped_and_counted_by_a_split(server, tmp_path):
    folder = make_folder(tmp_path / "data", classes=2, train=4, val=2, side=32)
    count = write_pictures(folder / "train" / "class-2", share(60, 12))
    make_folder(folder, classes=3, train=2, val=2, side=32)
    argv = ["split", "--data", str(folder), "--canvas", "16", "--holdout", "0", "--json"]
    ended = server.run("command", argv=[*argv, "--out", "out", "--max-bad", "500"], cwd=tmp_path, timeout_s=300)
    assert ended.code == 0, ended.log[-3000:]
    result = json.loads(next(line for line in ended.log.splitlines() if line.startswith("{")))
    assert result["skipped"] >= 15
    assert result["train"] + result["val"] + result["skipped"] == count + 10 + 6
    refused = server.run("command", argv=[*argv, "--out", "again", "--max-bad", "3"], cwd=tmp_path)
    assert refused.code == 3, refused.log[-2000:]


@pytest.mark.parametrize("fault", ["errors_untranslated", "hang"])
def test_a_crash_and_a_hang_are_noticed(server, families, tmp_path, fault):
    if fault == "hang":
        ended = server.run("endless", timeout_s=1)
        assert ended.code is None
    else:
        case = next(case for case in families["checkpoints"] if "F99" in case.name)
        with pytest.raises(AssertionError, match="Traceback"):
            endure(server, case, tmp_path, fault)

"""F17, F12: stores and checkpoints of strangers end with the right status: no crash, no hang, nothing outside touched.

Strange pictures, archives and configurations are in `tests/bad_inputs`, what readers make of them in `test_fuzz`.
"""

from pathlib import Path

import pytest
from tests.faults import hostile, material
from tests.faults.hostile import Case
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
    return {"stores": hostile.stores(small), "checkpoints": hostile.checkpoints(run_folder, picture)}


@pytest.mark.parametrize("family", ["stores", "checkpoints"])
def test_hostile_files_end_with_the_right_status(server, families, tmp_path, family):
    cases = families[family][::EVERY]
    problems = []
    for number, case in enumerate(cases):
        try:
            endure(server, case, tmp_path / str(number))
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, f"{len(problems)} of {len(cases)}:\n" + "\n".join(problems[:25])


@pytest.mark.parametrize("fault", ["errors_untranslated", "hang"])
def test_a_crash_and_a_hang_are_noticed(server, families, tmp_path, fault):
    if fault == "hang":
        ended = server.run("endless", timeout_s=1)
        assert ended.code is None
    else:
        case = next(case for case in families["checkpoints"] if "F99" in case.name)
        with pytest.raises(AssertionError, match="Traceback"):
            endure(server, case, tmp_path, fault)

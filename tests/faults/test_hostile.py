"""F17, F12: stores and checkpoints of strangers end with the right status: no crash, no hang, nothing outside touched.

Strange pictures, archives and configurations are in `tests/bad_inputs`, what readers make of them in `test_fuzz`.
"""

import copy
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.hostile_contents import HEADERS, NOT_JSON
from tests.faults.material import commit_again, tree
from tests.faults.processes import Server
from tests.faults.scale import share
from tests.pictures import make_folder

from bandwise.files.documents import json_bytes

pytestmark = pytest.mark.timeout(1800)
EVERY = share(1, 12)
MEMORY = 2 << 30
SPECIAL: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to the passwords": lambda path: path.symlink_to("/etc/passwd"),
    "300 MB of nothing": lambda path: (path.touch(), os.truncate(path, 300 << 20)),
}
"""What may stand in the place of a file without being one; none may make us wait or read without end."""
STATES: tuple[tuple[str, object], ...] = (
    ("version", 99),
    ("version", "1"),
    ("bands", [0] * 1000),
    ("bands", [-1]),
    ("bands", "../.."),
    ("store.channels", 10**9),
    ("store.classes", ["a"] * 10**6),
    ("store.classes", None),
    ("store.mean", [[1e308] * 3]),
    ("store.mean", [["x"]]),
    ("store.std", [[-1.0] * 3]),
    ("config.network.model", "os.system"),
    ("config.network.model", "../../etc/passwd"),
    ("config.network.model", "timm:hf-hub:stranger/model"),
    ("config.network.model", "resnet152"),
    ("config.split.stride", 10**9),
    ("config.split.canvas", 10**9),
    ("config.training.crop", 10**9),
    ("config", {}),
    ("position", {}),
    ("total_steps", None),
)
"""What the state of a checkpoint may say, whose record has right hashes."""
Case = tuple[str, str, bytes | Callable[[Path], object]]
"""A file, what it is, and its content or what puts it there."""


def replaced(document: Any, place: str, value: object) -> bytes:
    changed = inner = copy.deepcopy(document)
    *outer, last = place.split(".")
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return json_bytes(changed)


def of_stores(small: Path) -> Iterator[Case]:
    """A manifest of wrong content and a right seal is in `tests/store`."""
    parquet = "band-00/train-00000-of-00001.parquet"
    content = (small / parquet).read_bytes()
    for file in ("MANIFEST.json", "STORE.json"):
        yield from ((file, name, bad) for name, bad in NOT_JSON.items())
    for cut in (0, 1, 4, 11, 12, len(content) // 2, len(content) - 9, len(content) - 1):
        yield parquet, f"cut at {cut}", content[:cut]
    for length in (0, 2**31 - 1, 2**32 - 1):
        yield parquet, f"of a footer of {length} bytes", content[:-8] + struct.pack("<I", length) + b"PAR1"
    for file in ("MANIFEST.json", "STORE.json", "samples.parquet", parquet, "commits/val-00000.bands-0_3.json"):
        yield from ((file, name, put) for name, put in SPECIAL.items())


def of_checkpoints(step: Path) -> Iterator[Case]:
    yield from (("model.safetensors", name, bad) for name, bad in HEADERS.items())
    for file in ("state.json", "COMMIT.json"):
        yield from ((file, name, bad) for name, bad in NOT_JSON.items())
    state = json.loads((step / "state.json").read_text())
    for place, value in STATES:
        yield "state.json", f"{place} is {str(value)[:20]}", replaced(state, place, value)
    for file in ("model.safetensors", "state.json", "COMMIT.json"):
        yield from ((file, name, put) for name, put in SPECIAL.items())


def endure(server: Server, case: Case, source: Path, step: str, argv: list[str], folder: Path, **broken: str) -> None:
    """Run one case in a folder of its own, beside things that it must not touch."""
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "precious").write_text("x")
    place = folder / "place" / "inner"
    place.parent.mkdir()
    shutil.copytree(source, place, ignore=shutil.ignore_patterns("store", "preview", "logits"))
    name, what, content = case
    file = place / step / name
    file.unlink()
    if callable(content):
        content(file)
    else:
        file.write_bytes(content)
        if step and name != "COMMIT.json":
            commit_again(file.parent)
    ended = server.run("command", argv=argv, cwd=place, memory=MEMORY, timeout_s=120, **broken)
    about = f"{name}, {what}: {ended.code}, {ended.log[-2000:]}"
    assert ended.code in (2, 4, 7), about
    assert "Traceback" not in ended.log, about
    assert ended.log.strip(), f"no word of explanation: {about}"
    left = sorted(path.name for path in (*folder.iterdir(), *(folder / "place").iterdir()))
    assert left == ["inner", "outside", "place"], f"{about}: it has left {left}"
    assert tree(folder / "outside").keys() == {"precious"}
    assert not list(folder.rglob("CANARY"))


@pytest.fixture(scope="module")
def predict(run_folder, tmp_path_factory) -> tuple[Path, str, list[str]]:
    """A run, where in it its last checkpoint lies, and the command that reads it."""
    picture = next(make_folder(tmp_path_factory.mktemp("pictures"), classes=1, train=1, val=1).rglob("*.png"))
    step = max((run_folder / "branch-00").glob("step-*"))
    return run_folder, f"branch-00/{step.name}", ["predict", ".", str(picture)]


@pytest.mark.parametrize("family", ["stores", "checkpoints"])
def test_hostile_files_end_with_the_right_status(server, small, predict, tmp_path, family):
    command = (small, "", ["verify", ".", "--json"]) if family == "stores" else predict
    found = of_stores(small) if family == "stores" else of_checkpoints(predict[0] / predict[1])
    cases, problems = list(found)[::EVERY], []
    for number, case in enumerate(cases):
        try:
            endure(server, case, *command, tmp_path / str(number))
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, f"{len(problems)} of {len(cases)}:\n" + "\n".join(problems[:25])


def test_a_crash_is_noticed(server, predict, tmp_path):
    case = next(case for case in of_checkpoints(predict[0] / predict[1]) if "F99" in case[1])
    with pytest.raises(AssertionError, match="Traceback"):
        endure(server, case, *predict, tmp_path / "crash", broken="errors_untranslated")


def test_a_hang_is_noticed(server):
    assert server.run("endless", timeout_s=1).code is None

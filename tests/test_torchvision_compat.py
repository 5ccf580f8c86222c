"""torchvision beside a CPU-only torch: what fails for want of its compiled part is declared, nothing else is hidden."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bandwise import compat
from bandwise.compat import ensure_torchvision

PACKAGE = Path(__file__).parents[1] / "src" / "bandwise"
MISSING = RuntimeError("operator torchvision::nms does not exist")
FIRE = RuntimeError("the disk is on fire")
ELSEWHERE = ModuleNotFoundError("No module named 'nowhere'", name="nowhere")


class Library:
    """Notes what is declared."""

    def __init__(self, *_: str) -> None:
        self.schemas: list[str] = []

    def define(self, schema: str) -> None:
        self.schemas.append(schema)


@pytest.fixture
def imports(monkeypatch):
    """Return a function that says how each import of torchvision ends: None, or with an error."""

    def plan(*ends: Exception | None) -> None:
        rest = iter(ends)

        def import_module(name: str) -> None:
            if (error := next(rest)) is not None:
                raise error

        monkeypatch.setattr(compat, "importlib", SimpleNamespace(import_module=import_module))

    monkeypatch.setattr(compat, "_declared", [])
    monkeypatch.setattr(compat, "torch", SimpleNamespace(library=SimpleNamespace(Library=Library)))
    monkeypatch.setattr(compat, "sys", SimpleNamespace(modules={"torchvision.ops": None, "timm": None}))
    return plan


def test_operators_are_declared_once_and_only_where_their_lack_stops_the_import(imports):
    imports(None, None)
    assert [ensure_torchvision(), ensure_torchvision()] == ["native", "native"]
    imports(ModuleNotFoundError("No module named 'torchvision'", name="torchvision"))
    assert ensure_torchvision() == "absent"
    assert compat._declared == []
    imports(MISSING, None, None)
    assert [ensure_torchvision(), ensure_torchvision()] == ["shim", "shim"]
    ((nms, qnms),) = [library.schemas for library in compat._declared]
    assert nms.startswith("nms(Tensor dets")
    assert qnms.startswith("qnms(Tensor dets")
    assert list(compat.sys.modules) == ["timm"], "what was imported in part is imported anew"
    imports(MISSING)
    with pytest.raises(RuntimeError, match="nms"):
        ensure_torchvision()


@pytest.mark.parametrize("ends", [[FIRE], [ELSEWHERE], [MISSING, MISSING], [MISSING, FIRE]])
def test_another_failure_is_not_hidden(imports, ends):
    imports(*ends)
    with pytest.raises(type(ends[-1]), match=str(ends[-1])):
        ensure_torchvision()


def in_own_process(code: str) -> str:
    """Run a program in a process where nothing is imported or declared yet, and return what it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_imports_in_a_fresh_process_and_timm_after_them():
    """Also with the torchvision that is really here, which is declared for only where its plain import fails."""
    code = """
import importlib, json, pkgutil, sys
try:
    import torchvision
    plain = "native"
except (ImportError, RuntimeError) as error:
    plain = "shim" if "torchvision::" in str(error) else "absent"
for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
    del sys.modules[name]
import bandwise
names = [each.name for each in pkgutil.walk_packages(bandwise.__path__, "bandwise.", onerror=lambda name: None)]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
import timm, torchmetrics
from bandwise.compat import ensure_torchvision
found = [ensure_torchvision(), ensure_torchvision()]
if plain != "absent":
    import torchvision.models, torchvision.transforms
print(json.dumps([names, plain, found]))
"""
    names, plain, found = json.loads(in_own_process(code))
    assert found == [plain] * 2
    files = [file.relative_to(PACKAGE.parent).with_suffix("") for file in PACKAGE.rglob("*.py")]
    assert set(names) == {".".join(file.parts).removesuffix(".__init__") for file in files} - {"bandwise"}


def test_networks_work_without_torchvision():
    in_own_process(
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from bandwise.compat import ensure_torchvision\n"
        "assert ensure_torchvision() == ensure_torchvision() == 'absent'\n"
        "from bandwise.models.zoo import create_branch\n"
        "create_branch('resnet8', num_classes=2, in_channels=1, input_size=14, stem='dense')\n"
        "assert 'timm' not in sys.modules"
    )

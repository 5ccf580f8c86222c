"""Each case runs in a process of its own: what is imported, and what is declared to torch, cannot be taken back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bandwise"


def run_python(code: str, *flags: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(path or "")}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, env=environment, timeout=240, check=False
    )


def test_torchvision_imports_and_the_shim_is_used_only_where_the_plain_import_fails():
    plain = run_python("import torchvision")
    ours = run_python(
        "from bandwise.compat import ensure_torchvision as ensure\n"
        "first, second = ensure(), ensure()\n"
        "import torchvision.models, torchvision.transforms, timm, torchmetrics\n"
        "print(first, second, ensure())",
        "-W",
        "error",
    )
    assert ours.returncode == 0, ours.stderr
    outcomes = ours.stdout.split()
    if plain.returncode == 0:
        assert outcomes == ["native"] * 3
    elif "No module named 'torchvision'" in plain.stderr:
        assert outcomes == ["absent"] * 3
    else:
        assert "torchvision::" in plain.stderr
        assert outcomes == ["shim"] * 3


def test_networks_work_without_torchvision():
    done = run_python(
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from bandwise.compat import ensure_torchvision\n"
        "assert ensure_torchvision() == ensure_torchvision() == 'absent'\n"
        "from bandwise.models.zoo import create_branch\n"
        "create_branch('resnet8', num_classes=2, in_channels=1, input_size=14, stem='dense')\n"
        "assert 'timm' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('the disk is on fire')", "the disk is on fire"),
        ("import a_module_that_is_nowhere", "a_module_that_is_nowhere"),
        ("raise RuntimeError('operator torchvision::other does not exist')", "torchvision::other"),
        ("import torch; torch.library.register_fake('torchvision::nms', lambda dets, scores, threshold: dets)", ""),
    ],
)
def test_the_shim_declares_what_is_missing_and_hides_no_other_failure(tmp_path, body, said):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(body)
    done = run_python("from bandwise.compat import ensure_torchvision; print(ensure_torchvision())", path=tmp_path)
    assert said in done.stderr
    assert (done.returncode == 0) == (said == "") == (done.stdout.strip() == "shim")


def test_every_module_imports_in_a_fresh_process_and_timm_after_them():
    code = (
        "import importlib, pkgutil, bandwise\n"
        "names = [m.name for m in pkgutil.walk_packages(bandwise.__path__, 'bandwise.', onerror=lambda name: None)]\n"
        "failed = {}\n"
        "for name in names:\n"
        "    if name.endswith('__main__'):\n"
        "        continue\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except BaseException as error:\n"
        "        failed[name] = repr(error)\n"
        "import timm\n"
        "assert not failed, failed\n"
        "print(*names)"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    files = [file.relative_to(PACKAGE.parent).with_suffix("") for file in PACKAGE.rglob("*.py")]
    expected = {".".join(file.parts).removesuffix(".__init__") for file in files} - {"bandwise"}
    assert found == expected
    assert "bandwise.models.zoo" in found

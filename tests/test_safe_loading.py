"""Nothing in the program loads or runs what a file says: no pickle, eval, shell, or loader that can execute code.

Numbers of calls in the allowlist are exact, so that neither a new one nor one that is gone passes unseen.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "bandwise"
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "jsonpickle", "imp"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.distributed.checkpoint.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.full_load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "tarfile.open",
    "shutil.unpack_archive",
    "tempfile.mktemp",
}
METHODS = {"extract", "extractall", "eval_str"}
FLAGS = {"shell": True, "weights_only": False, "allow_pickle": True}
LOADERS = {"Loader", "FullLoader", "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader"}
ALLOWED: Counter[tuple[str, str]] = Counter(
    {
        # Members are read as streams and never unpacked: no call of `extract` or `extractall` anywhere.
        ("sources/named/unpack.py", "tarfile.open"): 2,
        # A benchmark writes a tar of its own and reads it as a stream.
        # The name comes from a table in the same file.
        ("__init__.py", "importlib.import_module"): 1,
    }
)
"""(file, what) to how often."""


def found_in(text: str) -> list[str]:
    """List what a program does that could execute the content of a file, in the order of its lines."""
    tree = ast.parse(text)
    names = _imported_names(tree)
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            found += [(line, f"import {alias.name}") for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            found += [(line, f"import {node.module}")] if module in MODULES else []
        elif isinstance(node, ast.Attribute) and node.attr in LOADERS and _dotted(node, names).startswith("yaml."):
            found.append((line, _dotted(node, names)))
        elif isinstance(node, ast.Call):
            found += [(line, what) for what in _in_call(node, names)]
        elif isinstance(node, ast.Name | ast.Attribute) and _is_read(node) and _dotted(node, names) in CALLS:
            # Also where the function is only passed on; a field may have the name of one.
            found.append((line, _dotted(node, names)))
    return [what for _, what in sorted(found)]


def _imported_names(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_read(node: ast.Name | ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Load)


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def _in_call(node: ast.Call, names: dict[str, str]) -> list[str]:
    found = []
    for keyword in node.keywords:
        constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg in FLAGS and constant is not (not FLAGS[keyword.arg]):
            # Anything but the plain safe constant: a variable could hold the other one.
            found.append(f"{keyword.arg}=")
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        found.append(f".{node.func.attr}()")
    called = _dotted(node.func, names)
    if called == "importlib.import_module" and not _is_fixed(node):
        found.append(called)
    return found


def _is_fixed(node: ast.Call) -> bool:
    """Return whether the name of the imported module is written out, or begins with our own."""
    [name, *_] = node.args or [None]
    if isinstance(name, ast.JoinedStr):
        first = name.values[0]
        return isinstance(first, ast.Constant) and str(first.value).startswith("bandwise.")
    return isinstance(name, ast.Constant)


def test_nothing_loads_code():
    found: Counter[tuple[str, str]] = Counter()
    tools = SOURCE.parents[1] / "tools"
    for file in [*sorted(SOURCE.rglob("*.py")), *sorted(tools.rglob("*.py"))]:
        name = file.relative_to(tools.parent if file.is_relative_to(tools) else SOURCE).as_posix()
        found.update((name, what) for what in found_in(file.read_text(encoding="utf-8")))
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import pickle", "import pickle"),
        ("from pickle import loads", "import pickle"),
        ("import dill as d", "import dill"),
        ("import marshal, shelve", "import marshal"),
        ("eval('1')", "eval"),
        ("exec(open('x').read())", "exec"),
        ("run = eval", "eval"),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import system as go\ngo('ls')", "os.system"),
        ("import subprocess\nsubprocess.run('ls', shell=True)", "shell="),
        ("import subprocess\nsubprocess.run('ls', shell=wish)", "shell="),
        ("import torch\ntorch.load('x')", "torch.load"),
        ("from torch import load\nload('x')", "torch.load"),
        ("import torch as t\nt.load('x', weights_only=True)", "torch.load"),
        ("import torch\ntorch.load('x', weights_only=False)", "weights_only="),
        ("import torch\nf(loader=torch.load)", "torch.load"),
        ("import numpy\nnumpy.load('x', allow_pickle=True)", "allow_pickle="),
        ("import yaml\nyaml.load(text, Loader=yaml.SafeLoader)", "yaml.load"),
        ("import yaml\nclass Own(yaml.Loader): pass", "yaml.Loader"),
        ("import yaml\nyaml.unsafe_load(text)", "yaml.unsafe_load"),
        ("import tarfile\ntarfile.open('x').extractall()", ".extractall()"),
        ("import importlib\nimportlib.import_module(name)", "importlib.import_module"),
        ("import importlib\nimportlib.import_module(f'{name}.x')", "importlib.import_module"),
        ("from importlib import import_module\nimport_module(target)", "importlib.import_module"),
        ("__import__(name)", "__import__"),
    ],
)
def test_each_way_is_caught(text, what):
    """Negative controls."""
    assert what in found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nclass Strict(yaml.SafeLoader): pass",
        "import subprocess\nsubprocess.run(['ls'], shell=False)",
        "import re\nre.compile('x')",
        "model.eval()",
        "import importlib\nimportlib.import_module(f'bandwise.commands.{verb}')",
        "import numpy\nnumpy.load('x', allow_pickle=False)",
        "from safetensors.torch import load\nload(content)",
    ],
)
def test_safe_ways_are_not(text):
    assert found_in(text) == []

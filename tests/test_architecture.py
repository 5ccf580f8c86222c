"""The folders read in the order in which data flows; imports only point downwards."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "bandwise"
# What everything above may use.
BASE = {"errors", "version", "config", "files", "progress", "signals", "machine"}
DATA = {"sources", "bands", "augment", "store"}
MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "progress": set(),
    "machine": set(),
    "compat": set(),
    "signals": {"errors"},
    "config": {"errors"},
    "files": {"errors", "progress"},
    "runs": BASE,
    "bands": set(),
    "models": {"errors"},
    "evaluation": {"errors", "bands", "augment", "sources", "store", "runs"},
    "sources": BASE,
    "augment": {"errors", "config", "bands"},
    "store": BASE | {"sources", "bands", "augment"},
    "checkpoints": BASE | {"models"},
    "training": BASE | DATA | {"models", "checkpoints", "evaluation", "runs"},
    "fusion": BASE | {"evaluation", "runs"},
    "launch": BASE | {"sources", "checkpoints", "store", "training", "fusion", "models", "evaluation", "runs"},
    "serving": BASE | {"bands", "augment", "checkpoints", "fusion", "evaluation", "models", "sources", "runs"},
    "report": BASE | {"runs", "evaluation", "store"},
    "export": BASE | {"checkpoints", "fusion", "report", "runs", "serving", "sources", "store"},
    "doctor": BASE | {"sources", "store", "checkpoints", "training", "runs"},
    "recipes": {"config", "errors"},
    "commands": BASE
    | DATA
    | {
        "models",
        "training",
        "fusion",
        "evaluation",
        "launch",
        "serving",
        "report",
        "export",
        "recipes",
        "runs",
        "doctor",
    },
    "cli": {"commands", "errors", "progress", "signals", "version"},
    "__main__": {"cli"},
}
# The process that splits or plans starts in a fraction of a second and runs on machines without torch's memory.
WITHOUT_TORCH = (
    "sources",
    "store/writing/split.py",
    "store/reading/store.py",
    "bands/transform.py",
    "bands/quantize.py",
    "recipes",
)
HEAVY = {"torch", "timm", "lightning_fabric", "torchmetrics", "torchvision"}


def python_files(part: str) -> list[Path]:
    """Return the modules of one part; `__init__.py` files only re-export and are exempt."""
    path = SOURCE / part
    if path.is_dir():
        return [file for file in sorted(path.rglob("*.py")) if file.name != "__init__.py"]
    return [path if path.suffix else path.with_suffix(".py")]


def imported(file: Path, *, top_level_only: bool = False) -> set[str]:
    """Return the full names of the modules that a file imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            names |= {f"bandwise.{alias.name}" for alias in node.names} if module == "bandwise" else {module}
    return names


def parts_of_ours(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("bandwise.")}


def test_every_part_of_the_tree_is_in_the_table():
    found = {path.stem if path.is_file() else path.name for path in SOURCE.iterdir() if path.suffix in ("", ".py")}
    assert found - {"__init__", "__pycache__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_point_downwards(part):
    files = python_files(part)
    assert files, f"no modules in {part}"
    for file in files:
        extra = parts_of_ours(imported(file)) - MAY_IMPORT[part] - {part}
        assert not extra, f"{file.name} imports {sorted(extra)}; allowed: {sorted(MAY_IMPORT[part])}"


def test_the_package_needs_nothing_that_is_not_in_it():
    for file in SOURCE.rglob("*.py"):
        outside = {name.split(".")[0] for name in imported(file)} & {"tools", "benchmarks", "tests"}
        assert not outside, f"{file} imports {sorted(outside)}, which no installed package has"


def test_the_table_has_no_cycle():
    """Otherwise "downwards" means nothing."""
    order: list[str] = []
    remaining = dict(MAY_IMPORT)
    while remaining:
        free = [part for part, needs in remaining.items() if not (needs - {part}) & set(remaining)]
        assert free, f"a cycle among {sorted(remaining)}"
        order += free
        for part in free:
            del remaining[part]
    assert len(order) == len(MAY_IMPORT)


def test_a_planted_import_is_found(tmp_path):
    planted = tmp_path / "trainer.py"
    planted.write_text("from bandwise.fusion.rules import fit\nfrom bandwise import launch\n", encoding="utf-8")
    assert parts_of_ours(imported(planted)) - MAY_IMPORT["training"] == {"fusion", "launch"}


@pytest.mark.parametrize("part", WITHOUT_TORCH)
def test_the_splitting_process_needs_no_torch(part):
    for file in python_files(part):
        heavy = {name.split(".")[0] for name in imported(file, top_level_only=True)} & HEAVY
        assert not heavy, f"{file} imports {sorted(heavy)}"


def test_files_hold_one_concept():
    """Long files hide things."""
    long = {
        str(file.relative_to(SOURCE)): count
        for file in SOURCE.rglob("*.py")
        if (count := len(file.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert not long, f"split these: {long}"

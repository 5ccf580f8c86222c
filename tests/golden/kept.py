"""Cases: stores and runs that another source wrote are read, continued and added to; their own without `--old`."""

import shutil
from pathlib import Path

from tests.golden.cases import DATA, case
from tests.golden.work import Work

STORES = ("dct2d-s2", "webp", "float16", "hadamard-s8", "odd", "imagenet1k", "imagenet21k", "parquet-packed")
RUNS = ("plain", "average", "warm", "head", "joint", "float16", "image")
CONTINUED = {"average": 1, "adam": 0, "image": 1, "warm": 2, "float16": 3, "steps": 0, "connected": 2}
"""Run to the branch that loses its last checkpoint."""


@case("kept/stores", *(f"stores/{name}" for name in (*STORES, "tested")))
def kept_stores(work: Work) -> None:
    """Checked, split again, which writes nothing, and extended by a band."""
    for name in STORES:
        root = f"kept-stores/{name}"
        work.fresh(str(work.old / "stores" / name), root)
        work.script(
            f"verify {root} --json \n split {DATA['splits'][name]} --out {root} HERE --json ## $ split {name} again",
            f": compared {root} stores/{name}",
        )
    work.fresh(str(work.old / "stores/tested"), "kept-stores/tested")
    flags = DATA["splits"]["tested"].replace("--bands 0,2-3", "--bands 1")
    work.script(f"split {flags} --out kept-stores/tested HERE --json ## $ split band 1", ": store kept-stores/tested")


@case("kept/runs", *(f"runs/{name}" for name in RUNS))
def kept_runs(work: Work) -> None:
    """Checked, trained again, which does nothing, fused, scored and used."""
    for name in RUNS:
        root = f"kept-runs/{name}"
        work.fresh(str(work.old / "runs" / name), root)
        work.script(
            f"""
            verify {root} --json
            train --out {root} --json
            fuse {root} --json
            evaluate {root} --json
            predict {root} pictures/val/ash --json
            : run_folder {root} {name}/ brief
            """
        )


@case("kept/continued", *(f"runs/{name}" for name in CONTINUED))
def kept_continued(work: Work) -> None:
    """A branch whose last checkpoint is gone is continued from the one before, and ends with the same weights."""
    for name, branch in CONTINUED.items():
        root = f"kept-continued/{name}"
        work.fresh(str(work.old / "runs" / name), root)
        folder = Path(root, f"branch-{branch:02d}")
        last = sorted(folder.glob("step-*"))[-1]
        shutil.rmtree(last)
        (folder / "summary.json").unlink()
        work.cli(f"train --out {root} --branch {branch} --json")
        for file in ("model.safetensors", "optim.safetensors"):
            before = work.old / "runs" / last.relative_to("kept-continued") / file
            work.data(f"{name} {file}", {"as before": (last / file).read_bytes() == before.read_bytes()})

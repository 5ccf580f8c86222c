"""Cases: the commands that fuse, score, verify and report finished runs."""

from pathlib import Path

import numpy as np
from tests.golden.stores import flip
from tests.golden.work import Work, case


@case("commands/fuse", "runs/average", "runs/head", "runs/joint")
def fuse(work: Work) -> None:
    """Every rule, some branches, and what a cascade saves."""
    work.fresh("runs/average", "runs/fused")
    for rule in ("mean", "geometric", "learned", "greedy", "head"):
        work.cli("fuse", "runs/fused", "--fusion", rule, "--json")
        work.cli("fuse", "runs/fused", "--fusion", rule)
        work.file("runs/fused/fusion.json", f"{rule}.json")
    work.cli("fuse", "runs/fused", "--use", "0,2-3", "--json")
    work.cli("evaluate", "runs/fused", "--json", name="$ evaluate some branches")
    work.cli("fuse", "runs/fused", "--cascade", "0.9", "--json")
    work.cli("fuse", "runs/fused", "--cascade", "0.9")
    work.cli("fuse", "runs/fused", "--cascade", "1.5")
    work.cli("fuse", "runs/joint", "--json")
    work.cli("evaluate", "runs/fused", "--head", "--json", name="$ evaluate with a head")
    work.cli("evaluate", "runs/fused", "--head", name="$ evaluate with a head, as text")
    work.run_folder("runs/fused", "after/", brief=True)


@case("commands/ten-crops", "runs/average", "runs/joint", "runs/float16", "runs/hadamard")
def ten_crops(work: Work) -> None:
    """Ten crops from stored bands, from rebuilt images and from the source."""
    for run in ("average", "joint", "float16", "hadamard"):
        work.fresh(f"runs/{run}", f"runs/ten-{run}")
        for origin in ("auto", "bands", "store", "source"):
            flags = ("--crops", "10", "--crops-from", origin, "--data", "pictures", "--json")
            code = work.cli("evaluate", f"runs/ten-{run}", *flags)
            files = sorted(Path(f"runs/ten-{run}/logits").glob("*-10crop/*")) if not code else []
            raw = {str(path): np.frombuffer(path.read_bytes(), np.uint8) for path in files}
            work.arrays(f"logits of {run} from {origin}", raw)
        work.cli("fuse", f"runs/ten-{run}", "--crops", "10", "--json")


@case("commands/verify-run", "runs/average", "runs/warm", "runs/head")
def verify_runs(work: Work) -> None:
    """Runs that are whole, and runs with each kind of damage: named, mended, and what is left."""
    for run in ("average", "warm", "head"):
        work.cli("verify", f"runs/{run}", "--json")
    last = "branch-01/step-000000008"
    damage = {
        "weights": lambda root: flip(f"{root}/{last}/model.safetensors", 0.6),
        "state": lambda root: flip(f"{root}/{last}/state.json", b'"branch"'),
        "logits": lambda root: flip(f"{root}/logits/val/branch-02.safetensors", 0.9),
        "fusion": lambda root: flip(f"{root}/fusion.json", 0.5),
        "results": lambda root: flip(f"{root}/results.json", b'"n_eval"'),
        "summary": lambda root: flip(f"{root}/branch-00/summary.json", b'"epochs"'),
        "metrics": lambda root: flip(f"{root}/branch-03/metrics.jsonl", 0.5),
        "lost-logits": lambda root: Path(f"{root}/logits/holdout/branch-00.safetensors").unlink(),
        "foreign": lambda root: Path(f"{root}/notes.txt").write_text("mine"),
    }
    for name, harm in damage.items():
        root = f"runs/harmed-{name}"
        work.fresh("runs/average", root)
        harm(root)
        work.cli("verify", root, "--json")
        work.cli("report", root, "--json")
        work.cli("verify", root, "--repair")
        work.cli("verify", root, "--json", name=f"$ after the repair of {name}")
        names = [str(path.relative_to(root)) for path in sorted(Path(root).rglob("*")) if path.is_file()]
        work.data(f"{name} files", names)


@case("commands/report", "runs/average", "runs/whole", "runs/head", "commands/ten-crops")
def report(work: Work) -> None:
    """Pages of one run and of several, with constants in the place of times."""
    for run in ("average", "whole", "head", "ten-float16"):
        work.freeze(f"runs/{run}", f"runs/frozen-{run}")
    work.cli("report", "runs/frozen-average")
    work.cli("report", "runs/frozen-head", "--json")
    many = [f"runs/frozen-{run}" for run in ("average", "whole", "head", "ten-float16")]
    work.cli("report", *many, "--out", "pages/many.html", "--json")
    Path("pages").mkdir(exist_ok=True)
    work.cli("report", *many, "--out", "pages/many.html", "--json", name="$ report of four")
    for page in ("runs/frozen-average/report", "runs/frozen-head/report", "pages/many"):
        for suffix in (".html", ".md"):
            work.add(f"{page}{suffix}", Path(f"{page}{suffix}").read_text())

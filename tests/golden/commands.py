"""Cases: commands between which something is done by hand; those that are commands alone are in `cases.yaml`."""

import contextlib
import fcntl
import io
import json
from pathlib import Path

import numpy as np
from tests.golden import normal
from tests.golden.cases import DATA, case
from tests.golden.inputs import flip, write_config
from tests.golden.work import HERE, MODES, Work


@case("commands/predict", "runs/average", "runs/head", "runs/grey", "stores/odd")
def predict(work: Work) -> None:
    """Files and folders, good and bad, in every way of asking."""
    work.script(
        """
        predict runs/average FOUR --json --csv rows.csv
        : file rows.csv
        predict runs/average FOUR --top 2 --batch-size 3 --max-bad 9
        """.replace("FOUR", "pictures/val/ash/000.bmp odd/train nowhere.png configs/average.json"),
        *(f"predict runs/average pictures/val --mode {mode} --json" for mode in MODES),
        """
        predict runs/average pictures/val --cascade 0.9 --json
        predict runs/average pictures/val --cascade 0.9 --mode stacked
        predict runs/head pictures/val --json
        predict runs/head pictures/val --cascade 0.9
        predict runs/grey odd/train --json
        predict runs/average
        """,
    )
    work.process("predict runs/average -", stdin=b"pictures/val/birch/001.bmp\nodd/train/ash/cut.bmp\n")


@case("commands/ten-crops", "runs/average", "runs/joint", "runs/float16", "runs/hadamard")
def ten_crops(work: Work) -> None:
    """Ten crops from stored bands, from rebuilt images and from the source."""
    for run in ("average", "joint", "float16", "hadamard"):
        work.fresh(f"runs/{run}", f"runs/ten-{run}")
        for origin in ("auto", "bands", "store", "source"):
            code = work.cli(f"evaluate runs/ten-{run} --crops 10 --crops-from {origin} --data pictures --json")
            files = sorted(Path(f"runs/ten-{run}/logits").glob("*-10crop/*")) if not code else []
            raw = {str(path): np.frombuffer(path.read_bytes(), np.uint8) for path in files}
            work.arrays(f"logits of {run} from {origin}", raw)
        work.cli(f"fuse runs/ten-{run} --crops 10 --json")


DAMAGE = {
    "weights": lambda root: flip(f"{root}/branch-01/step-000000008/model.safetensors", 0.6),
    "state": lambda root: flip(f"{root}/branch-01/step-000000008/state.json", b'"branch"'),
    "logits": lambda root: flip(f"{root}/logits/val/branch-02.safetensors", 0.9),
    "fusion": lambda root: flip(f"{root}/fusion.json", 0.5),
    "results": lambda root: flip(f"{root}/results.json", b'"n_eval"'),
    "summary": lambda root: flip(f"{root}/branch-00/summary.json", b'"epochs"'),
    "metrics": lambda root: flip(f"{root}/branch-03/metrics.jsonl", 0.5),
    "lost-logits": lambda root: Path(f"{root}/logits/holdout/branch-00.safetensors").unlink(),
    "foreign": lambda root: Path(f"{root}/notes.txt").write_text("mine"),
}


@case("commands/verify-run", "runs/average", "runs/warm", "runs/head")
def verify_runs(work: Work) -> None:
    """Runs that are whole, and runs with each kind of damage: named, mended, and what is left."""
    work.script(*(f"verify runs/{run} --json" for run in ("average", "warm", "head")))
    for name, harm in DAMAGE.items():
        root = f"runs/harmed-{name}"
        work.fresh("runs/average", root)
        harm(root)
        work.script(
            f"verify {root} --json \n report {root} --json \n verify {root} --repair",
            f"verify {root} --json ## $ after the repair of {name}",
        )
        names = [str(path.relative_to(root)) for path in sorted(Path(root).rglob("*")) if path.is_file()]
        work.data(f"{name} files", names)


@case("commands/doctor")
def doctor(work: Work) -> None:
    """Which facts there are; their values are of this machine."""
    out = io.StringIO()
    from bandwise.cli import main

    Path("examined").mkdir(exist_ok=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(["doctor", "--folder", "examined", "--json"])
    found = json.loads(out.getvalue())
    tests = {name: found["self_test"]["cpu"][name] for name in ("resume_exact", "repeatable")}
    work.data("facts", {"exit": code, **normal.shape(normal.masked(found)), "self_test": tests})
    work.cli("doctor --folder nowhere")


@case("commands/reproduce", "runs/plain", "runs/head")
def reproduce(work: Work) -> None:
    """A result that is repeated to the last digit, and one that is not."""
    work.script(
        """
        reproduce runs/plain/results.json --out runs/repeated
        reproduce runs/plain/results.json --out runs/repeated --json
        """
    )
    content = json.loads(Path("runs/plain/results.json").read_text())
    content["fused"]["nll"] += 0.25
    del content[normal.SEAL]
    Path("other.json").write_bytes(normal.canonical(normal.sealed(content)))
    work.script(
        """
        reproduce other.json --out runs/repeated
        reproduce runs/head/results.json --out runs/plain
        reproduce runs/plain/run.json --out runs/repeated
        """
    )


CONFIGS = {
    "unknown.yaml": "trainnig: {lr: 0.1}\n",
    "unknown-inside.yaml": "training: {learning: 0.1}\nsplit: {stried: 2}\n",
    "type.yaml": "training: {lr: 1e-3}\n",
    "choice.yaml": "split: {transform: dct}\n",
    "twice.yaml": "split: {stride: 2}\nsplit: {stride: 4}\n",
    "alias.yaml": "split: &one {stride: 2}\ndata: *one\n",
    "broken.json": '{"split": ',
    "list.json": "[1]",
}


@case("errors", "runs/plain", "runs/joint", "stores/dct2d-s1", "stores/dct2d-s2", "stores/tested", "stores/imagenet1k")
def errors(work: Work) -> None:
    """Every mistake alone."""
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    for name, text in CONFIGS.items():
        Path(name).write_text(text)
        work.cli(f"run {name} --out runs/wrong")
    work.cli("run nowhere.yaml --out runs/wrong")
    for command in DATA["mistakes"].splitlines():
        work.script(f"{command} \n {command} --json")
    work.data("left behind", [path for path in ("runs/wrong", "stores/wrong", "pictures/store") if Path(path).exists()])


@case("errors/locked", "stores/dct2d-s2")
def locked(work: Work) -> None:
    """A store and a branch that another process writes to, and a lock file that nobody holds any more."""
    config = write_config("held", {"branches": "0", "training": {"epochs": 1}})
    for folder, command in (
        ("stores/held", f"split {DATA['splits']['dct2d-s2']} --out stores/held {HERE}"),
        ("runs/held/branch-00", f"train {config} --out runs/held --store stores/dct2d-s2"),
    ):
        Path(folder).mkdir(parents=True)
        lock = Path(folder, ".lock")
        lock.write_text('{"host": "elsewhere", "pid": 7, "started": "2020-02-02T02:02:02+0000"}')
        with open(lock, "r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            work.script(f"{command} \n {command} --json")
        lock.write_text("")
        work.script(f"{command} ## $ {command.split()[0]} when it is free")
        work.data(f"left in {folder}", sorted(path.name for path in Path(folder).iterdir()))

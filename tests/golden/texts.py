"""Cases: what the commands print, from help to errors."""

import contextlib
import fcntl
import io
import json
from pathlib import Path

from tests.golden import normal
from tests.golden.stores import HERE, PICTURES
from tests.golden.trainings import write_config
from tests.golden.work import MODES, Work, case

VERBS = ("demo", "run", "recipes", "plan", "data", "split", "verify", "reconstruct", "train", "fuse", "evaluate")
VERBS += ("predict", "reproduce", "report", "doctor")


@case("help/usage", quick=True)
def help_usage(work: Work) -> None:
    """The list of commands."""
    work.cli("--help")
    work.cli()
    work.cli("--version")


def _help_case(verb: str) -> None:
    @case(f"help/{verb}", quick=verb in ("split", "fuse"))
    def ask(work: Work) -> None:
        work.cli(verb, "--help")


for _verb in VERBS:
    _help_case(_verb)


@case("commands/recipes")
def recipes(work: Work) -> None:
    """All recipes, some of them whole, and recipe sets."""
    work.cli("recipes", mask=False)
    work.cli("recipes", "--json", mask=False)
    for name in ("cifar10-sub4", "cifar10-best", "photos-sub4", "resnet34-sub4-lean", "resnet50-sub16", "alexnet"):
        work.cli("recipes", name, mask=False)
    for chosen in ("seed", "rsb-a1", "rsb-a2", "rsb-a3", "torchvision"):
        work.cli("recipes", "resnet50", "--recipe-set", chosen, mask=False)
        work.cli("recipes", "resnet34-sub4", "--recipe-set", chosen, "--json", mask=False)
    work.cli("recipes", "cifar10-sub5")
    work.cli("recipes", "--recipe-set", "rsb-a3")


@case("commands/plan")
def plan(work: Work) -> None:
    """Plans of recipes and of a file."""
    for name in ("resnet34-sub4-lean", "cifar10-sub4-warm", "resnet50"):
        work.cli("plan", name, mask=False)
        work.cli("plan", name, "--json", mask=False)
    flags = ("--recipe-set", "rsb-a2", "--images-per-s", "500", "--gpu-memory-gb", "80", "--batch-size", "64", "--json")
    work.cli("plan", "resnet50-sub4", *flags, mask=False)
    config = write_config("planned", {"training": {"opt": "adamw", "model_ema": True}, "branches": "0;1-3"})
    work.cli("plan", config, "--json")
    work.cli("plan", config, "--json", "--images", "1000", "--classes", "3", mask=False)
    work.cli("plan", config, "--images", "1000", "--classes", "3")


@case("commands/data")
def data(work: Work) -> None:
    """The named sets."""
    work.cli("data", "list")
    work.cli("data", "list", "--json")
    work.cli("data", "get")
    work.cli("data", "get", "cifar")


@case("commands/dry-run", "inputs", quick=True)
def dry_run(work: Work) -> None:
    """What a run resolves to."""
    config = write_config("dry", {})
    work.cli("run", config, "--out", "runs/dry", "--dry-run", *HERE)
    work.cli(
        "run", config, "--out", "runs/dry", "--dry-run", *HERE, "--json", "--epochs", "9", "--recipe-set", "rsb-a1"
    )
    Path("changes.yaml").write_text("split: {stride: 4}\ntraining: {lr: 0.3, opt: adamw}\n")
    work.cli("run", config, "--config", "changes.yaml", "--out", "runs/dry", "--dry-run", *HERE, "--json")
    flags = ("--data=pictures", "--canvas=24", "--crop=20", "--dry-run", *HERE, "--json")
    work.cli("run", "cifar10-best", "--out", "runs/dry", *flags)
    work.cli("train", "photos-sub4", "--out", "runs/dry", "--dry-run", "--json")
    work.cli("train", config, "--out", "runs/dry", "--dry-run")


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
    work.cli("doctor", "--folder", "nowhere")


@case("commands/predict", "runs/average", "runs/head", "runs/grey", "stores/odd")
def predict(work: Work) -> None:
    """Files and folders, good and bad, in every way of asking."""
    paths = ("pictures/val/ash/000.bmp", "odd/train", "nowhere.png", "configs/average.json")
    work.cli("predict", "runs/average", *paths, "--json", "--csv", "rows.csv")
    work.file("rows.csv")
    work.cli("predict", "runs/average", *paths, "--top", "2", "--batch-size", "3", "--max-bad", "9")
    for mode in MODES:
        work.cli("predict", "runs/average", "pictures/val", "--mode", mode, "--json")
    work.cli("predict", "runs/average", "pictures/val", "--cascade", "0.9", "--json")
    work.cli("predict", "runs/average", "pictures/val", "--cascade", "0.9", "--mode", "stacked")
    work.cli("predict", "runs/head", "pictures/val", "--json")
    work.cli("predict", "runs/head", "pictures/val", "--cascade", "0.9")
    work.cli("predict", "runs/grey", "odd/train", "--json")
    work.cli("predict", "runs/average")
    work.process("predict", "runs/average", "-", stdin=b"pictures/val/birch/001.bmp\nodd/train/ash/cut.bmp\n")


@case("commands/reproduce", "runs/plain", "runs/head")
def reproduce(work: Work) -> None:
    """A result that is repeated to the last digit, and one that is not."""
    work.cli("reproduce", "runs/plain/results.json", "--out", "runs/repeated")
    work.cli("reproduce", "runs/plain/results.json", "--out", "runs/repeated", "--json")
    content = json.loads(Path("runs/plain/results.json").read_text())
    content["fused"]["nll"] += 0.25
    del content[normal.SEAL]
    Path("other.json").write_bytes(normal.canonical(normal.sealed(content)))
    work.cli("reproduce", "other.json", "--out", "runs/repeated")
    work.cli("reproduce", "runs/head/results.json", "--out", "runs/plain")
    work.cli("reproduce", "runs/plain/run.json", "--out", "runs/repeated")


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
WRONG = (
    ("splitt",),
    ("frobnicate",),
    ("split", "--strid", "2"),
    ("split", "--data", "nowhere", "--out", "stores/wrong"),
    ("split", "--data", "cifar100", "--out", "stores/wrong"),
    ("split", "--data", "pictures"),
    ("split", "--data", "pictures", "--out", "pictures/store"),
    ("split", "--data", "pictures", "--out", "full", "--canvas", "32"),
    ("split", "--data", "tested", "--out", "stores/wrong", "--canvas", "16"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--canvas", "33"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--stride", "9"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--canvas", "32", "--bands", "0,7"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--storage", "float16", "--codec", "webp"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--max-bad", "-1", "--canvas", "32"),
    ("split", "--data", "imagenet1k", "--out", "stores/wrong", "--expect", "ilsvrc2012"),
    ("split", "--data", "pictures", "--out", "stores/wrong", "--expect", "fall11"),
    ("run",),
    ("run", "cifar10-sub5", "--out", "runs/wrong"),
    ("run", "configs/plain.json"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--jobs", "0"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--model", "resnet9"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--model", "timm:resnet10tt", "--stem", "stock"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--recipe-set", "rsb-a4"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--initial-checkpoint", "weights.pth"),
    ("run", "configs/plain.json", "--out", "runs/wrong", "--initial-branch", "4"),
    ("run", "configs/plain.json", "--out", "runs/plain", "--seed", "4", *HERE),
    ("run", "configs/plain.json", "--out", "runs/plain", "--store", "stores/dct2d-s1", *HERE),
    ("run", "configs/plain.json", "--out", "stores/dct2d-s2", *HERE),
    ("train", "configs/plain.json", "--out", "runs/wrong", "--store", "stores/dct1d-s2"),
    ("train", "configs/plain.json", "--out", "runs/wrong", "--store", "stores/nowhere"),
    ("train", "configs/plain.json", "--out", "runs/wrong", "--store", "stores/dct2d-s2", "--branch", "4"),
    ("train", "configs/plain.json", "--out", "runs/wrong", "--store", "stores/dct2d-s2", "--opt", "sgdd"),
    ("train", "configs/plain.json", "--out", "runs/wrong", "--store", "stores/dct2d-s2", "--batch-size", "500"),
    (
        "train",
        "configs/plain.json",
        "--out",
        "runs/wrong",
        "--store",
        "stores/dct2d-s2",
        "--lr",
        "1e30",
        "--branch",
        "0",
    ),
    ("train", "configs/joint.json", "--out", "runs/wrong", "--store", "stores/dct1d-s2", "--branches", "0;1;2;3"),
    ("fuse", "runs/nowhere"),
    ("fuse", "runs/plain", "--fusion", "median"),
    ("fuse", "runs/plain", "--use", "0,9"),
    ("evaluate", "stores/dct2d-s2"),
    ("evaluate", "runs/plain", "--crops", "5"),
    ("evaluate", "runs/plain", "--crops", "10", "--crops-from", "source", "--data", "flat"),
    ("predict", "runs/nowhere", "pictures"),
    ("predict", "runs/plain", "stores/dct2d-s2"),
    ("verify", "nowhere"),
    ("verify", "pictures"),
    ("reconstruct", "runs/plain"),
    ("report",),
    ("report", "runs/nowhere"),
    ("report", "runs/plain", "--out", "page.txt"),
    ("reproduce", "nowhere.json", "--out", "runs/wrong"),
    ("plan", "resnet34", "--images-per-s", "0"),
    ("recipes", "--jsn"),
)


@case("errors", "runs/plain", "runs/joint", "stores/dct2d-s1", "stores/dct2d-s2", "stores/tested", "stores/imagenet1k")
def errors(work: Work) -> None:
    """What is said of mistakes, to a person and as JSON, and the exit codes."""
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    for name, text in CONFIGS.items():
        Path(name).write_text(text)
        work.cli("run", name, "--out", "runs/wrong")
    work.cli("run", "nowhere.yaml", "--out", "runs/wrong")
    for argv in WRONG:
        work.cli(*argv)
        work.cli(*argv, "--json")
    work.data("left behind", [path for path in ("runs/wrong", "stores/wrong", "pictures/store") if Path(path).exists()])


@case("errors/locked", "stores/dct2d-s2")
def locked(work: Work) -> None:
    """A store and a branch that another process writes to, and a lock file that nobody holds any more."""
    config = write_config("held", {"branches": "0", "training": {"epochs": 1}})
    for folder, argv in (
        ("stores/held", ("split", *PICTURES, "--out", "stores/held", *HERE)),
        ("runs/held/branch-00", ("train", config, "--out", "runs/held", "--store", "stores/dct2d-s2")),
    ):
        Path(folder).mkdir(parents=True)
        lock = Path(folder, ".lock")
        lock.write_text('{"host": "elsewhere", "pid": 7, "started": "2020-02-02T02:02:02+0000"}')
        with open(lock, "r+b") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            work.cli(*argv)
            work.cli(*argv, "--json")
        lock.write_text("")
        work.cli(*argv, name=f"$ {argv[0]} when it is free")
        work.data(f"left in {folder}", sorted(path.name for path in Path(folder).iterdir()))

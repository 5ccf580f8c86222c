"""F20: code in every place from which something is loaded; the file that would show that it ran never appears."""

import shutil
from pathlib import Path

import pytest
from tests.faults.canaries import payloads
from tests.faults.hostile import commit_again
from tests.faults.scale import share
from tests.pictures import make_folder

NAMES = tuple(payloads(Path("/nowhere")))[:: share(1, 6)]
STEP_FILES = ("model.safetensors", "optim.safetensors", "state.json", "COMMIT.json")


def places(run: Path, pictures: Path, payload: bytes, folder: Path) -> list[tuple[str, list[str]]]:
    """Put the payload in each place in turn, in a fresh copy of the run; return what was laid out and what reads it."""
    found = []
    step = max((run / "branch-00").glob("step-*")).name
    picture = str(next(pictures.rglob("*.png")))

    def place(name: str, argv: list[str], target: str, *, commit: bool = False, beside: bool = False) -> None:
        copy = folder / name
        shutil.copytree(run, copy)
        file = copy / target
        if beside:
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(payload)
        if commit:
            commit_again(file.parent)
        found.append((name, [part.replace("RUN", str(copy)) for part in argv]))

    for target in STEP_FILES:
        place(
            f"step {target}", ["predict", "RUN", picture], f"branch-00/{step}/{target}", commit=target != "COMMIT.json"
        )
    for target in ("run.json", "fusion.json"):
        place(target, ["predict", "RUN", picture], target)
    place("logits", ["evaluate", "RUN"], "logits/val/branch-00.safetensors")
    place("results", ["verify", "RUN"], "results.json")
    place("results in a report", ["report", "RUN"], "results.json")
    place("resumed", ["train", "--out", "RUN"], f"branch-00/{step}/optim.safetensors", commit=True)
    for target in ("MANIFEST.json", "STORE.json", "samples.parquet", "README.md"):
        place(f"store {target}", ["verify", "RUN/store"], f"store/{target}")
    for name in ("stranger.safetensors", "stranger.pth"):
        argv = ["train", "--out", "RUN/new", "--store", "RUN/store", "--stride", "2", "--canvas", "24", "--crop", "20"]
        argv += ["--holdout", "0.2", "--model", "resnet8", "--branches", "0"]
        place(f"initial {name}", [*argv, "--initial-checkpoint", f"RUN/{name}"], name, beside=True)
    place("configuration", ["train", "--config", "RUN/c.yaml", "--out", "RUN/new", "--store", "RUN/store"], "c.yaml")
    place("picture", ["predict", "RUN", "RUN/picture.jpg"], "picture.jpg")
    split = ["split", "--canvas", "16", "--out", "RUN/new"]
    for source, target in (
        ("webdataset", "data/train-000000.tar"),
        ("parquet", "data/train-00000-of-00001.parquet"),
        ("imagenet1k", "data/ILSVRC2012_img_train.tar"),
        ("imagenet1k", "data/ILSVRC2012_devkit_t12.tar.gz"),
        ("auto", "data/data_batch_1"),
    ):
        place(f"{source} {Path(target).name}", [*split, "--source", source, "--data", "RUN/data"], target, beside=True)
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_loaded_runs(server, run_folder, tmp_path, figure, name):
    canary = tmp_path / "canary"
    pictures = make_folder(tmp_path / "pictures", classes=1, train=1, val=1)
    laid = places(run_folder, pictures, payloads(canary)[name], tmp_path / "runs")
    for place, argv in laid:
        ended = server.run("command", argv=argv, cwd=tmp_path, timeout_s=120)
        # A report is made of what there is, and a training goes on from the checkpoint before; all else has to refuse.
        assert ended.code is not None
        assert ended.code != 0 or place in ("results in a report", "resumed"), f"{place}: {ended.log[-2000:]}"
        assert "Traceback" not in ended.log, f"{place}: {ended.log[-3000:]}"
        assert not canary.exists(), f"{place}: {name} was executed"
    figure("canaries fired", 0, len(laid), "code in checkpoints, logits, documents, stores, configurations, archives")


@pytest.mark.parametrize("name", ["pickle", "pickle of protocol 0", "npy", "torch"])
def test_the_canaries_can_fire(server, tmp_path, control, name):
    """Each form, loaded carelessly, in a process of its own."""
    canary = tmp_path / "canary"
    (tmp_path / "payload").write_bytes(payloads(canary)[name])
    server.run("load_carelessly", path=tmp_path / "payload")
    assert canary.exists()
    control()


def test_a_loader_that_takes_pickles_is_noticed(server, run_folder, tmp_path, control):
    canary = tmp_path / "canary"
    pictures = make_folder(tmp_path / "pictures", classes=1, train=1, val=1)
    laid = places(run_folder, pictures, payloads(canary)["pickle"], tmp_path / "runs")
    argv = dict(laid)["step model.safetensors"]
    server.run("command", argv=argv, cwd=tmp_path, broken="pickles_welcome")
    assert canary.exists()
    control()

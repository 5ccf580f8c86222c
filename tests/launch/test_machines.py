"""Branches on machines that differ, against arithmetic by hand; what is written can be run."""

import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.launch.conftest import CONFIG
from tests.pictures import make_folder

from bandwise.cli import main
from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.launch.machines import Machine, assign, read_machines
from bandwise.launch.plan import Setting

SETTING = Setting(classes=3, channels=3, images=60_000, train_images=36_000, gpu_memory_gb=40)


def machine(name: str, **changes) -> Machine:
    return Machine(**{"name": name, "memory_gb": 40, "disk_gb": 100, "images_per_s": 10, **changes})


def branches(*groups: str, **changes) -> RunConfig:
    return replace(CONFIG, branches=";".join(groups), **changes)


def test_hours_and_days_by_hand():
    # Two epochs of 36,000 images, ten a second: two hours a branch.
    (share,) = assign(branches("0", "3"), SETTING, [machine("one", hours_a_day=8)]).shares
    assert share.branches == (0, 1)
    assert share.hours == pytest.approx(4)
    assert share.days == pytest.approx(0.5)


def test_a_fast_machine_gets_more():
    found = assign(branches("0", "1", "2", "3"), SETTING, [machine("slow"), machine("fast", images_per_s=30)])
    slow, fast = found.shares
    assert (len(slow.branches), len(fast.branches)) == (1, 3)
    assert found.days == pytest.approx(2 / 24)


def test_it_is_never_a_third_above_the_best_of_all_assignments():
    config = branches("0", "1", "0,1", "0,1,2", "0,1,2,3")
    machines = [machine("a"), machine("b")]
    found = assign(config, SETTING, machines)
    hours = [assign(branches(group), SETTING, machines[:1]).shares[0].hours for group in config.branches.split(";")]
    assert len({*hours}) == 1, "rates are of the largest branch"
    whole = assign(config, SETTING, machines[:1]).shares[0]
    shares = [work / sum(_shares(config)) for work in _shares(config)]
    best = min(
        max(sum(s for s, where in zip(shares, places, strict=True) if where == place) for place in (0, 1))
        for places in itertools.product((0, 1), repeat=5)
    )
    assert found.days <= 4 / 3 * best * whole.days + 1e-9


def _shares(config: RunConfig) -> list[int]:
    from bandwise.launch.cost import branch_cost

    return [branch_cost(config, branch, channels=3, num_classes=3).macs for branch in range(len(config.groups()))]


def test_what_does_not_fit_is_said():
    machines = [machine("small", memory_gb=1), machine("full", disk_gb=1e-6), machine("good")]
    found = assign(branches("0", "3"), SETTING, machines)
    assert [share.branches for share in found.shares] == [(), (), (0, 1)]
    assert "a step of 8 images takes 1.5 GB, and it has 1 GB" in str(found.shares[0].why_idle)
    assert "GB of disk, and it has 1e-06 GB" in str(found.shares[1].why_idle)
    assert assign(branches("0", "3"), SETTING, machines[:2]).left == (0, 1)


def test_a_batch_in_parts_is_proposed_where_it_would_fit():
    large = replace(CONFIG.training, batch_size=4096)
    config = branches("0", training=large)
    step = assign(config, SETTING, [machine("any")]).shares[0].step_gb
    idle = machine("small", memory_gb=(step + 1.6) / 2)
    found = assign(config, SETTING, [idle])
    parts = found.accumulation
    assert parts
    assert 4096 % parts == 0
    accumulating = replace(config, training=replace(large, grad_accum_steps=parts))
    assert assign(accumulating, SETTING, [idle]).shares[0].branches == (0,)
    fewer = replace(config, training=replace(large, grad_accum_steps=parts // 2))
    assert assign(fewer, SETTING, [idle]).left == (0,)


def test_the_branch_that_others_start_from_comes_first():
    config = branches("0", "1", "2", initial_branch=1)
    found = assign(config, SETTING, [machine("a"), machine("b")])
    assert next(share.branches[0] for share in found.shares if 1 in share.branches) == 1
    # Two hours for it, then two for each of the others, at the same time.
    assert found.days == pytest.approx(4 / 24)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no list `machines`"),
        ("machines: []", "no list `machines`"),
        ("machines: [{name: a}]", "it needs name, memory_gb"),
        ("machines: [{name: a, memory_gb: 1, disk_gb: 1, images_per_s: 1, gpu: 2}]", "it needs name, memory_gb"),
        ("machines: [{name: a, memory_gb: 0, disk_gb: 1, images_per_s: 1}]", "memory_gb is 0; it must be a number"),
        ("machines: [{name: a, memory_gb: x, disk_gb: 1, images_per_s: 1}]", "memory_gb is 'x'"),
        ("machines: [{name: a, memory_gb: 1, disk_gb: 1, images_per_s: 1, hours_a_day: 25}]", "a day has 24"),
        ("machines: [{name: ../a, memory_gb: 1, disk_gb: 1, images_per_s: 1}]", "cannot name a machine"),
        (f"machines: [{', '.join(['{name: a, memory_gb: 1, disk_gb: 1, images_per_s: 1}'] * 2)}]", "stands twice"),
    ],
)
def test_wrong_files_are_refused(text, words, tmp_path):
    file = tmp_path / "machines.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_machines(file)


def test_what_is_written_runs(tmp_path, monkeypatch, capsys):
    """As three people would: one splits and collects, two train, and folders are carried."""
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pictures", classes=2, train=12, val=3, side=24)
    file = tmp_path / "machines.yaml"
    entry = "memory_gb: 40, disk_gb: 9, images_per_s: 5"
    file.write_text(f"machines:\n- {{name: a, {entry}}}\n- {{name: b, {entry}}}\n")
    flags = ["--data", "pictures", "--stride", "2", "--canvas", "24", "--branches", "0;3", "--model", "resnet8-slim"]
    flags += ["--crop", "24", "--epochs", "2", "--batch-size", "8", "--holdout", "0.25"]
    assert main(["plan", "cifar10-sub4", *flags, "--machines", str(file), "--script", "todo", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [share["branches"] for share in said["shares"]] == [[0], [1]]
    assert [Path(name).name for name in said["scripts"]] == ["run.yaml", "a.sh", "b.sh", "collect.sh"]
    assert main(["split", "todo/run.yaml", "--out", "STORE"]) == 0
    for name in ("a", "b"):
        (tmp_path / name / "store").mkdir(parents=True)
        script = (tmp_path / "todo" / f"{name}.sh").read_text()
        (copied,) = (line for line in script.splitlines() if "STORE/*.json" in line)
        subprocess.run(f"cp -r {copied.lstrip('# ')} {name}/store", shell=True, check=True)
        shutil.copy("todo/run.yaml", name)
        monkeypatch.chdir(tmp_path / name)
        run_script(script)
        monkeypatch.chdir(tmp_path)
        shutil.copytree(f"{name}/run", f"from-{name}")
    run_script((tmp_path / "todo" / "collect.sh").read_text())
    assert (tmp_path / "run" / "results.json").exists()


def run_script(text: str) -> None:
    for line in text.splitlines():
        if line.startswith("bandwise "):
            assert main(line.split()[1:]) == 0


def test_a_script_needs_machines(capsys):
    assert main(["plan", "cifar10-sub4", "--script", "x"]) == UsageError.exit_code
    assert "give --machines FILE too" in capsys.readouterr().err

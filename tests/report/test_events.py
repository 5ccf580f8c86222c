"""The metrics of branches as TensorBoard reads them: each epoch once, also of a training that goes on."""

import struct
import sys

import pytest
from tests.helpers.commands import call

from bandwise.config import RunConfig
from bandwise.files.documents import write_rows
from bandwise.runs.run import create_run


def row(epoch: int, holdout: dict | None, loss: float | None = 1.5) -> dict:
    return {"epoch": epoch, "step": 4 * epoch, "lr": 0.05, "train_loss": loss, "holdout": holdout}


@pytest.fixture
def run(tmp_path):
    """Of branch 0 two epochs are finished, of branch 1 one, of the others none."""
    run = create_run(tmp_path / "mine", RunConfig())
    for branch, epochs in ((0, 2), (1, 1)):
        run.branch_folder(branch).mkdir()
        rows = [row(epoch, {"top1": 0.25 * epoch, "nll": 2.0 / epoch}) for epoch in range(1, epochs + 1)]
        write_rows(run.branch_folder(branch) / "metrics.jsonl", rows)
    return run


def read(folder) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values by tag: a file is records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    content, found = path.read_bytes(), {}
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + size])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        content = content[16 + size :]
    return found


def test_every_epoch_is_there_once_however_often_it_is_converted(run, tmp_path, capsys):
    out = tmp_path / "tb"
    said = call(capsys, "report", run.path, "--tensorboard", out)
    folders = [out / "mine" / name for name in ("branch-00", "branch-01")]
    assert said["branches"] == list(map(str, folders))
    assert read(folders[0]) == {
        "loss/train": [(4, 1.5), (8, 1.5)],
        "loss/holdout": [(4, 2.0), (8, 1.0)],
        "accuracy/holdout": [(4, 0.25), (8, 0.5)],
        "lr": [(4, pytest.approx(0.05)), (8, pytest.approx(0.05))],
        "epoch": [(4, 1.0), (8, 2.0)],
    }
    # Branch 1 goes on, its second epoch without a finite loss, and without a holdout.
    rows = [row(1, {"top1": 0.25, "nll": 2.0}), row(2, None, None)]
    write_rows(run.branch_folder(1) / "metrics.jsonl", rows)
    call(capsys, "report", run.path, "--tensorboard", out)
    assert [step for step, _ in read(folders[0])["epoch"]] == [4, 8]
    found = read(folders[1])
    assert [step for step, _ in found["epoch"]] == [4, 8]
    assert [step for step, _ in found["loss/train"]] == [step for step, _ in found["accuracy/holdout"]] == [4]
    assert not (run.path / "report.html").exists()


def test_what_cannot_be_converted_is_said(run, tmp_path, capsys, monkeypatch):
    def refused(*argv: object, code: int = 2) -> str:
        return call(capsys, "report", *argv, "--tensorboard", tmp_path / "tb", code=code)["error"]["message"]

    other = create_run(tmp_path / "elsewhere" / "mine", RunConfig())
    assert "2 runs lie in folders of 1 names" in refused(run.path, other.path)
    assert "leave --out away" in refused(run.path, "--out", tmp_path / "page.html")
    write_rows(run.branch_folder(1) / "metrics.jsonl", [{"epoch": 1}])
    assert "does not hold the rows of epochs" in refused(run.path, code=4)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "pip install 'bandwise[tensorboard]'" in refused(run.path)

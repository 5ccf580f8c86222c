"""`bandwise report` names a damaged file and exits with 4; where the file is not there yet, it writes its page."""

import shutil
from pathlib import Path

import pytest

from bandwise.cli import main
from bandwise.files.documents import read_document, write_document
from bandwise.report import view

FILES = ("results.json", "fusion.json", "branch-02/summary.json", "branch-02/metrics.jsonl")


@pytest.fixture
def run(tmp_path, two_runs) -> Path:
    path = Path(shutil.copytree(two_runs[0], tmp_path / "run"))
    write_document(path / "fusion.json", read_document(path / "results.json")["fusion"])
    (path / "report.html").write_text("the page of yesterday")
    return path


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("control", [False, True])
def test_a_damaged_file_is_named_and_the_old_page_stays(run, two_runs, capsys, name, control):
    flipped(run / name)
    runs = [two_runs[1], run] if control else [run]
    assert main(["report", *map(str, runs), "--out", str(run / "report.html")]) == 4
    message = capsys.readouterr().err
    assert f"{run / name}" in message
    assert message.count("\n  ") == 1
    assert "bandwise verify" in message
    assert (run / "report.html").read_text() == "the page of yesterday"


def test_all_damaged_files_are_named_at_once(run, capsys):
    for name in FILES:
        flipped(run / name)
    assert main(["report", str(run)]) == 4
    message = capsys.readouterr().err
    assert all(str(run / name) in message for name in FILES)


def test_files_that_are_not_there_yet_are_no_damage(run):
    for name in FILES:
        (run / name).unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 1000


def test_the_damage_is_really_looked_for(run, monkeypatch, capsys):
    """Negative control: a reader that believes every byte writes a page."""
    (run / "fusion.json").write_bytes(b"{")
    monkeypatch.setattr(view, "read_document", lambda path: read_document(run / "results.json"))
    assert main(["report", str(run)]) == 0

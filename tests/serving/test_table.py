"""The rows of a prediction: kept while they are made, gone on from after any stop, and at the end a safe table."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from bandwise.cli import main
from bandwise.errors import LockedError, UsageError
from bandwise.files.documents import write_document
from bandwise.fusion.combination import Fusion
from bandwise.serving import ensemble as serving
from bandwise.serving.predict import ClassScore, Prediction, Vote
from bandwise.serving.table import KeptRows, safe_cell, write_csv, write_table

ROWS = [
    Prediction("=1.png", "ok", classes=(ClassScore("=cat", 0.75), ClassScore("a, b", 1 / 3))),
    Prediction("two\nlines.png", "error", "truncated", 'cut off, "badly"'),
    Prediction("caf\\xe9", "skipped", "no picture by name", "-", notes=("odd",)),
]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain.png", "plain.png"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\\r=1"),
        ("a\nb", "a\\nb"),
        ("＝1", "'＝1"),
        ("caf\udce9.png", "caf\\xe9.png"),
    ],
)
def test_no_cell_is_a_formula(text, cell):
    assert safe_cell(text) == cell


def test_the_table_reads_back_row_for_row(tmp_path):
    write_csv(tmp_path / "out.csv", ROWS, top=2)
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as stream:
        table = list(csv.reader(stream))
    assert table == [
        ["path", "status", "reason", "detail", "class_1", "probability_1", "class_2", "probability_2"],
        ["'=1.png", "ok", "", "", "'=cat", "0.750000", "a, b", "0.333333"],
        ["two\\nlines.png", "error", "truncated", 'cut off, "badly"'],
        ["caf\\xe9", "skipped", "no picture by name", "'-"],
    ]
    assert not any(line.startswith(("=", "+", "@", "-")) for line in (tmp_path / "out.csv").read_text().splitlines())


def test_votes_have_columns_of_their_own(tmp_path):
    votes = (Vote("cat", 0.9, 0), Vote("-dog", 0.5, 3))
    row = Prediction("1.png", "ok", classes=(ClassScore("cat", 0.75),), votes=votes)
    write_csv(tmp_path / "out.csv", [ROWS[1], row], top=2)
    head, error, own = csv.reader((tmp_path / "out.csv").read_text().splitlines())
    assert head[8:] == ["vote_0", "vote_probability_0", "vote_3", "vote_probability_3"]
    assert len(error) == 4
    assert own[4:] == ["cat", "0.750000", "", "", "cat", "0.900000", "'-dog", "0.500000"]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_table_for_programs_has_all_of_a_row(finished, run, tmp_path, capsys, name):
    import pyarrow.parquet as pq

    table = tmp_path / name
    argv = ["predict", str(run), str(finished.parent / "pictures" / "val"), "--votes", "--table", str(table), "--json"]
    assert main(argv) == 0
    said = json.loads(capsys.readouterr().out)["predictions"]
    if name == "rows.jsonl":
        rows = [json.loads(line) for line in table.read_text().splitlines()]
    else:
        rows = pq.read_table(table).to_pylist()
    assert rows == said
    assert [vote["branch"] for vote in said[0]["votes"]] == [0, 1, 2]
    # A path that is no text is written as it is printed.
    write_table(table, [Prediction("caf\udce9.png", "error", "missing")])
    assert b"xe9.png" in table.read_bytes()


@pytest.mark.parametrize("torn", [0, 1, 30])
def test_kept_rows_come_back_up_to_a_torn_one(tmp_path, torn):
    table = tmp_path / "rows.csv"
    with KeptRows(table, "this") as kept:
        kept.add(ROWS[:2])
        kept.add(ROWS[2:])
    path = tmp_path / "rows.csv.part"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - torn])
    with KeptRows(table, "this") as again:
        assert again.rows == ROWS[: 3 if not torn else 2]
        again.add(ROWS[len(again.rows) :])
    assert path.read_bytes() == content
    with KeptRows(table, "another prediction") as other:
        assert other.rows == []


def test_a_file_of_somebody_else_is_kept(tmp_path):
    alien = tmp_path / "rows.csv.part"
    alien.write_text('{"prediction": 7, "mine": true}')
    with pytest.raises(UsageError, match="is no rows of a prediction"):
        KeptRows(tmp_path / "rows.csv", "this")
    assert alien.read_text() == '{"prediction": 7, "mine": true}'


@pytest.mark.parametrize("whole", [0, 9])
def test_a_head_that_was_cut_off_is_written_again(tmp_path, whole):
    (tmp_path / "rows.csv.part").write_bytes(b'{"prediction": "this"}\n'[:whole])
    with KeptRows(tmp_path / "rows.csv", "this") as kept:
        assert kept.rows == []
    assert (tmp_path / "rows.csv.part").read_bytes() == b'{"prediction": "this"}\n'


def test_two_at_once_do_not_mix_their_rows(tmp_path):
    with (
        KeptRows(tmp_path / "rows.csv", "this"),
        pytest.raises(LockedError, match="is being written by another process"),
    ):
        KeptRows(tmp_path / "rows.csv", "this")


@pytest.fixture
def run(finished, tmp_path) -> Path:
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "run"


@pytest.fixture
def stopped(monkeypatch):
    """Send a signal to this process when a number of batches is classified; none when 0."""

    def after(batches: int, number: signal.Signals) -> None:
        real, calls = serving.SpectralEnsemble.forward, []

        def forward(self, images):
            calls.append(1)
            if len(calls) == batches:
                os.kill(os.getpid(), number)
            return real(self, images)

        monkeypatch.setattr(serving.SpectralEnsemble, "forward", forward)

    return after


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_keeps_what_is_done_and_the_same_command_goes_on(run, finished, stopped, tmp_path, capsys, number):
    pictures, table = finished.parent / "pictures" / "val", tmp_path / "rows.csv"
    argv = ["predict", str(run), str(pictures), "--batch-size", "5", "--csv", str(table), "--json"]
    stopped(1, number)
    assert main(argv) == 75
    assert f"stopped by {number.name} after 5 of 12 inputs" in capsys.readouterr().err
    assert not table.exists()
    assert len((tmp_path / "rows.csv.part").read_text().splitlines()) == 1 + 5
    stopped(0, number)
    assert main(argv) == 0
    resumed = json.loads(capsys.readouterr().out)
    first = table.read_bytes()
    table.unlink()
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out) == resumed
    assert table.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "run"]


def test_other_weights_begin_anew(run, finished, stopped, tmp_path, capsys):
    pictures, table = finished.parent / "pictures" / "val", tmp_path / "rows.csv"
    argv = ["predict", str(run), str(pictures), "--batch-size", "5", "--csv", str(table), "--json"]
    stopped(1, signal.SIGTERM)
    assert main(argv) == 75
    stopped(0, signal.SIGTERM)
    write_document(run / "fusion.json", Fusion(rule="mean", branches=(0, 2), weights=(0.5, 0.5)).to_dict())
    capsys.readouterr()
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    table.unlink()
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == found


def test_rows_are_printed_as_they_come(run, finished, stopped, capsys):
    stopped(2, signal.SIGTERM)
    assert main(["predict", str(run), str(finished.parent / "pictures" / "val"), "--batch-size", "5"]) == 75
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 10
    assert "with --csv FILE they would be kept" in printed.err


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("none/rows.csv", "there is no folder"),
        (".", "is a folder; name a file"),
        ("file/rows.csv", "there is no folder"),
        ("pipe", "is no regular file"),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_the_work(run, finished, tmp_path, monkeypatch, capsys, where, words):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(serving.SpectralEnsemble, "from_run", lambda *given: pytest.fail("it was loaded"))
    assert main(["predict", str(run), str(finished), "--csv", str(tmp_path / where)]) == 2
    assert words in capsys.readouterr().err

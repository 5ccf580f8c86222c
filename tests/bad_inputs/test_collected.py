"""Whole collections as people have them, through `split`, `run` and `data inspect`."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.bad_inputs.bench import Bench
from tests.bad_inputs.rows_collected import COLLECTIONS, NO_HOLDOUT, Collection

from bandwise.store.reading.store import open_store

SPLIT = ["--canvas", "32", "--stride", "2", "--workers", "1", "--decode-timeout", "0"]
TINY = """
split: {stride: 2, canvas: 32}
branches: 0;3
network: {model: resnet8-slim, stem: dense}
training: {crop: 28, epochs: 1, batch_size: 8, device: cpu}
"""


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    monkeypatch.setenv("BANDWISE_HOME", str(tmp_path / "home"))
    # Where a message is wrapped depends on the length of the temporary folder.
    monkeypatch.setenv("COLUMNS", "500")
    return Bench(tmp_path, monkeypatch)


# Some of them, with what they are about taken away.
BROKEN = {
    "one folder beside a table": ("bandwise.sources.walk._TABLES", ()),
    "22-kaggle-imagenet": ("bandwise.sources.archives.imagenet1k.find_kaggle", lambda root: None),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", BROKEN)
def test_a_collection_fails_without_what_it_is_about(bench, name):
    bench.patch.setattr(*BROKEN[name])
    with pytest.raises(AssertionError):
        test_what_is_read_and_said_of_a_collection(bench, name)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_what_is_read_and_said_of_a_collection(bench, name):
    wanted = COLLECTIONS[name]
    root = bench.path / name.partition(",")[0]
    for file, content in wanted.files().items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    bench.patch.chdir(root if wanted.inside else bench.path)
    data = ["--data", wanted.inside or root]
    bench.call("split", *data, *SPLIT, *wanted.flags, "--out", bench.store, "--json")
    said = bench.out + bench.err
    assert bench.code == wanted.code, said
    for words in wanted.words:
        assert words in said
    assert "Traceback" not in said
    if wanted.code == 0:
        assert tuple(bench.result[split] for split in ("train", "holdout", "val")) == wanted.counts
        assert open_store(bench.store).classes == tuple(wanted.classes)
    inspect(bench, wanted, data[1], [] if wanted.flags == NO_HOLDOUT else wanted.flags)
    for run in wanted.runs:
        (bench.path / "tiny.yaml").write_text(TINY, encoding="utf-8")
        shutil.rmtree(bench.run, ignore_errors=True)
        flags = ["--workers", "1", "--jobs", "1", *wanted.flags, *run.flags]
        bench.call("run", bench.path / "tiny.yaml", *data, *flags, "--out", bench.run)
        assert bench.code == run.code, bench.out + bench.err
        assert run.code != 2 or not list(bench.run.glob("branch-*"))
        for words in run.words:
            assert words in bench.err


def inspect(bench: Bench, wanted: Collection, data: str | Path, flags: Sequence[str]) -> None:
    """Check that what is said without a store is the same."""
    skipped = bench.result["skipped"] if wanted.code == 0 else 0
    bench.call("data", "inspect", data, *flags, "--json")
    if wanted.code and bench.code == 0:
        classes = bench.result["classes"].values()
        assert any(not count for counts in classes for count in counts.values()), "a class without pictures"
        return
    assert bench.code == wanted.code
    said = bench.out + bench.err
    assert wanted.code == 0 or all(words in said for words in wanted.words)
    if wanted.code == 0:
        train, holdout, val = wanted.counts
        assert (bench.result["train"], bench.result["val"]) == (train + holdout, val + skipped)
        assert list(bench.result["classes"]) == list(wanted.classes)
        assert sum(bench.result["skipped"].values()) == skipped

"""F22: what a release has written stays readable; what a newer one writes is refused with exit 7, never half read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.faults import material
from tests.faults.hostile import commit_again

from bandwise.checkpoints.folder import read_checkpoint
from bandwise.errors import IncompatibleError
from bandwise.files.documents import json_bytes, seal, without_seal
from bandwise.runs.run import open_run, read_logits
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store
from bandwise.store.verify import verify_store

KEPT = sorted((Path(__file__).parent / "formats").iterdir())


@pytest.mark.parametrize("release", KEPT, ids=[path.name for path in KEPT])
def test_an_old_store_and_old_logits_are_read(release, tmp_path):
    """The folder of each release is written once, by that release, and never changed."""
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    facts = json.loads((folder / "facts.json").read_text())
    verify_store(folder / "store")
    store = open_store(folder / "store")
    assert store.digest == facts["digest"]
    pixels = sum(int(batch.images.sum()) for batch in BatchStream(store, store.bands, "train", 4).batches())
    assert pixels == facts["sum_of_train"]
    logits = read_logits(folder / "branch-00.safetensors")
    assert np.array_equal(logits.logits, np.array(facts["logits"], np.float32))


def test_a_newer_store_is_refused(small, tmp_path):
    store = Path(shutil.copytree(small, tmp_path / "store"))
    for name in ("STORE.json", "MANIFEST.json"):
        content = json.loads((small / name).read_text())
        (store / name).write_bytes(json_bytes(seal(without_seal({**content, "version": [99, 0]}))))
        with pytest.raises(IncompatibleError, match="version 99"):
            open_store(store)
        (store / name).write_bytes((small / name).read_bytes())
    open_store(store)


def test_a_newer_run_is_refused(run_folder, tmp_path):
    content = json.loads((run_folder / "run.json").read_text())
    (tmp_path / "run.json").write_bytes(json_bytes(seal(without_seal({**content, "version": 99}))))
    with pytest.raises(IncompatibleError, match="version 99"):
        open_run(tmp_path)


def test_a_newer_checkpoint_is_refused(run_folder, tmp_path):
    step = Path(shutil.copytree(max((run_folder / "branch-00").glob("step-*")), tmp_path / "step-000000006"))
    state = json.loads((step / "state.json").read_text())
    (step / "state.json").write_bytes(json_bytes({**state, "version": 99}))
    commit_again(step)
    with pytest.raises(IncompatibleError, match="version 99"):
        read_checkpoint(step)


def test_the_kept_folders_hold_no_more_than_they_need():
    assert KEPT
    assert sum(len((path / name).read_bytes()) for path in KEPT for name in material.tree(path)) < 100_000 * len(KEPT)

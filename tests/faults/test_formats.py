"""F22: what a release has written stays readable."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bandwise.runs.logits import read_logits
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

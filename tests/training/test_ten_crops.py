"""Ten crops of stored bands against ten crops of the pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.tiny import CONFIG, make_store

from bandwise.bands.quantize import BandQuantizer
from bandwise.checkpoints.branch import load_branch
from bandwise.config import AugmentConfig, RunConfig
from bandwise.errors import UsageError
from bandwise.evaluation.views import BandViews, CropsFrom
from bandwise.runs.run import read_logits
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.folders.folder import open_folder
from bandwise.sources.samples import freeze_samples
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store
from bandwise.training.predict import write_answers
from bandwise.training.trainer import train_branch


def ten_views(store_path: Path, config: RunConfig, band: int, crop: int) -> list[torch.Tensor]:
    """Return stored values of all ten crops, made from the pictures: crop, mirror, and only then split."""
    source = open_folder(store_path.parent / "pictures")
    samples = freeze_samples(source, config.split)
    store = open_store(store_path)
    quantizer = BandQuantizer(store.transform, (band,))
    split = quantizer.split if config.split.storage == "uint8" else quantizer.split_float16
    canvases = [load_canvas(source, samples.paths[index], config.split)[0] for index in store.ids("val")]
    views = []
    far = store.side - crop
    for top, left in ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)):
        for step in (1, -1):
            cut = [each[2 * top : 2 * (top + crop), 2 * left : 2 * (left + crop)][:, ::step] for each in canvases]
            bands = [split(np.ascontiguousarray(view))[0].transpose(2, 0, 1) for view in cut]
            views.append(torch.from_numpy(np.stack(bands)).float())
    return views


@pytest.mark.parametrize(("storage", "tolerance"), [("float16", 1e-5), ("uint8", 0.05)])
def test_ten_crops_equal_crops_and_mirrors_of_the_pictures(tmp_path, storage, tolerance):
    """Exactly so in float16, which holds quarters of a step. A byte rounds a half up, and its mirror image down."""
    config = replace(CONFIG, split=replace(CONFIG.split, storage=storage))
    store_path, folder = make_store(tmp_path, config), tmp_path / "branch"
    train_branch(config, store_path, folder, 1)
    write_answers(config, store_path, folder, 1, logits=tmp_path / "a", split="val", crops=10)
    found = read_logits(tmp_path / "a")
    assert found.meta["crops"] == "10"
    branch = load_branch(folder)
    network, state = branch.network, branch.state
    mean, std = (torch.tensor(state["store"][name]).float().view(1, 3, 1, 1) for name in ("mean", "std"))
    views = ten_views(store_path, config, 1, 10)
    assert len(views) == 10
    with torch.no_grad():
        logits = torch.stack([network((view - mean) / std) for view in views])
    np.testing.assert_allclose(found.logits, logits.mean(0).numpy(), atol=tolerance)
    assert (logits - logits.mean(0)).abs().max() > 0.1


def test_a_lone_dct1d_band_is_refused_with_all_reasons(tmp_path):
    """A node that holds one band and no pictures has nothing to mirror."""
    split = replace(CONFIG.split, transform="dct1d", bands="1")
    config = replace(CONFIG, split=split, augment=AugmentConfig(hflip=0.0), branches="1")
    store, folder, out = make_store(tmp_path, config), tmp_path / "branch", tmp_path / "a"
    train_branch(config, store, folder, 0)
    alone = r"bands \[1\] under dct1d is no function of these bands alone"
    every = alone + r".*lacks bands 0,2-3 of 4.*source cannot be read: none was given\. Use one crop, or evaluate where"
    with pytest.raises(UsageError, match=every):
        write_answers(config, store, folder, 0, logits=out, split="val", crops=10)
    for origin, why in (("bands", alone + ".*--crops-from"), ("store", "lacks bands"), ("source", "none was given")):
        wanted = CropsFrom(origin)
        with pytest.raises(UsageError, match=why):
            write_answers(config, store, folder, 0, logits=out, split="val", crops=10, crops_from=wanted)
    assert not out.exists()


def test_a_branch_on_all_bands_mirrors_them_by_itself(tmp_path):
    config = replace(
        CONFIG, split=replace(CONFIG.split, transform="dct1d"), augment=AugmentConfig(hflip=0.0), branches="0,1,2,3"
    )
    store = make_store(tmp_path, config)
    train_branch(config, store, tmp_path / "branch", 0)
    write_answers(config, store, tmp_path / "branch", 0, logits=tmp_path / "b", split="val", crops=10)
    found = read_logits(tmp_path / "b")
    assert found.logits.shape == (9, 3)
    assert found.meta["views"] == "bands"


def test_other_numbers_of_crops_are_refused(store_path):
    with pytest.raises(UsageError, match="crops is 5; it must be 1 or 10"):
        BandViews(open_store(store_path), (1,), 10, 5, torch.device("cpu"))


def test_a_mirrored_centre_is_the_centre_and_its_mirror_among_ten(store_path):
    store, cpu = open_store(store_path), torch.device("cpu")
    (batch,) = BatchStream(store, (1,), "val", 9).batches()
    two = list(BandViews(store, (1,), 10, 1, cpu, mirrored=True)(batch.images))
    ten = list(BandViews(store, (1,), 10, 10, cpu)(batch.images))
    assert len(two) == 2
    assert torch.equal(two[0], ten[4])
    assert torch.equal(two[1], ten[9])
    assert not torch.equal(two[0], two[1])


def test_a_mirrored_centre_of_a_lone_dct1d_band_is_refused(tmp_path):
    config = replace(CONFIG, split=replace(CONFIG.split, transform="dct1d", bands="1"))
    store = open_store(make_store(tmp_path, config))
    with pytest.raises(UsageError, match="is no function of these bands alone"):
        BandViews(store, (1,), 10, 1, torch.device("cpu"), mirrored=True)

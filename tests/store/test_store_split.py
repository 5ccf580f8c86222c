"""What a split writes, against an independent computation of every byte of it."""

import dataclasses
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.helpers.arrays import CONFIG, SOURCE, RandomSource, make_store
from tests.helpers.trees import run_python, tree

from bandwise.bands.quantize import reference_split
from bandwise.bands.transform import SubbandTransform
from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, UsageError
from bandwise.sources.samples import freeze_samples
from bandwise.store.layout import SPLITS
from bandwise.store.origin import group_size
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset


def decoded(path: Path) -> list[np.ndarray]:
    """Decode a band file with pyarrow and Pillow alone."""
    rows = pq.read_table(path, page_checksum_verification=True)["image"].to_pylist()
    return [np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in rows]


@pytest.mark.parametrize("codec", ["zstd", "webp"])
@pytest.mark.parametrize(("transform", "stride", "channels"), [("dct2d", 2, 3), ("dct1d", 4, 3), ("identity", 2, 1)])
def test_every_pixel_is_the_reference_split(tmp_path, codec, transform, stride, channels):
    source = RandomSource(train=5, val=3, side=16, channels=channels)
    store = make_store(tmp_path / "s", source, codec=codec, transform=transform, stride=stride)
    samples = freeze_samples(source, store.config)
    for split in SPLITS:
        expected = [
            reference_split(source.pixels(samples.paths[number]), SubbandTransform(stride, transform))
            for number in samples.range(split)
        ]
        for band in store.bands:
            pictures = [picture for name in store.files(band, split) for picture in decoded(store.path / name)]
            for picture, bands in zip(pictures, expected, strict=True):
                # WebP has no grey mode: one channel comes back as three equal ones.
                shown = np.atleast_3d(picture)[:, :, :channels]
                assert np.array_equal(shown, bands[band])


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_all_training_values(tmp_path, channels):
    source = RandomSource(train=9, val=4, channels=channels)
    store = make_store(tmp_path / "s", source, stride=2)
    samples = freeze_samples(source, store.config)
    stored = np.stack(
        [
            reference_split(source.pixels(samples.paths[number]), SubbandTransform(2, "dct2d"))
            for number in samples.range("train")
        ]
    )
    for band in range(4):
        values = stored[:, band].reshape(-1, channels)
        assert store.mean([band]) == pytest.approx(values.mean(axis=0)[None], abs=1e-12)
        assert store.std([band]) == pytest.approx(values.std(axis=0)[None], abs=1e-10)


def test_float16_stores_the_unrounded_value_as_raw_bytes(tmp_path):
    source = RandomSource(train=6, val=3)
    store = make_store(tmp_path / "s", source, storage="float16")
    samples = freeze_samples(source, store.config)
    for band in store.bands:
        (name,) = store.files(band, "train")
        rows = pq.read_table(store.path / name)["image"].to_pylist()
        for number, row in zip(samples.range("train"), rows, strict=True):
            found = np.frombuffer(row["bytes"], "<f2").reshape(4, 4, 3)
            image = source.pixels(samples.paths[number]).astype(np.float64).transpose(2, 0, 1)
            expected = SubbandTransform(2, "dct2d").forward(image)[band].transpose(1, 2, 0) / 2
            assert np.array_equal(found, expected.astype(np.float16))
        values = np.concatenate([np.frombuffer(row["bytes"], "<f2").reshape(-1, 3) for row in rows])
        assert store.std([band]) == pytest.approx(values.astype(np.float64).std(axis=0)[None], rel=1e-3)


def test_unreadable_samples_are_holes_in_every_band(tmp_path):
    broken = frozenset({b"train/00003", b"val/00001"})
    source = dataclasses.replace(SOURCE, train=20, broken=broken)
    result = split_dataset(source, dataclasses.replace(CONFIG, holdout=0), tmp_path / "s")
    store = open_store(tmp_path / "s")
    samples = freeze_samples(source, dataclasses.replace(CONFIG, holdout=0))
    gone = sorted(samples.paths.index(path) for path in broken)
    assert [sample["id"] for sample in result["bad"]] == gone
    assert {sample["reason"] for sample in result["bad"]} == {"unidentified"}
    assert (store.rows("train"), store.rows("val")) == (19, 6)
    kept = [number for number in samples.range("train") if number not in gone]
    for band in store.bands:
        (name,) = store.files(band, "train")
        assert pq.read_table(store.path / name)["id"].to_pylist() == kept == store.ids("train").tolist()


def test_only_the_wanted_bands_are_written(tmp_path):
    split_dataset(SOURCE, dataclasses.replace(CONFIG, bands="1,3"), tmp_path / "s")
    store = open_store(tmp_path / "s")
    assert store.bands == (1, 3)
    assert not (tmp_path / "s" / "band-00").exists()
    with pytest.raises(UsageError, match=r"bands 0,2 are missing: run split with --bands 0,2"):
        open_store(tmp_path / "s", bands=(0, 1, 2))


def test_a_dry_run_writes_nothing(tmp_path):
    plan = split_dataset(SOURCE, CONFIG, tmp_path / "s", dry_run=True)
    assert plan["train"] + plan["holdout"] + plan["val"] == 307
    assert plan["groups"] == 4
    assert plan["estimated_bytes"] > 0
    assert not (tmp_path / "s").exists()


def test_records_that_do_not_fit_a_column_chunk_are_refused(tmp_path):
    source = RandomSource(train=3, val=3, side=8)
    with pytest.raises(UsageError, match=r"2048 pixels is too large to store.*smaller canvas than 2048"):
        split_dataset(source, SplitConfig(canvas=2048, stride=1, transform="identity", holdout=0), tmp_path / "s")


@pytest.mark.parametrize(("total", "size"), [(1, 256), (8000, 256), (8192, 512), (1_281_167, 8192), (10**8, 8192)])
def test_the_group_size_follows_from_the_number_of_images(total, size):
    assert group_size(SplitConfig(), total) == size
    assert group_size(SplitConfig(group_size=512), total) == 512


def test_row_groups_hold_256_records_without_statistics_or_dictionary(tmp_path):
    source = dataclasses.replace(SOURCE, train=600, broken=frozenset({b"train/00007"}))
    store = make_store(tmp_path / "s", source, group_size=1024)
    (name,) = store.files(0, "train")
    metadata = pq.read_metadata(store.path / name)
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [256, 256, 87]
    assert not any(group.column(index).is_stats_set for group in groups for index in range(4))
    assert not any(group.column(index).has_dictionary_page for group in groups for index in range(4))


def test_a_store_says_what_it_does_not_hold(whole):
    store = open_store(whole, bands=(1,))
    assert store.bands == (1,)
    assert store.band_bytes(1) == sum(path.stat().st_size for path in (whole / "band-01").iterdir())
    with pytest.raises(UsageError, match="split 'test' is not one of train, holdout, val"):
        store.rows("test")
    with pytest.raises(UsageError, match="was opened with bands 1; band 2 is not one of them"):
        store.files(2, "train")
    assert store.mean([2]).shape == (1, 3)
    with pytest.raises(UsageError, match="holds the bands 0-3; 4 is not one"):
        store.mean([4])
    with pytest.raises(UsageError, match=r"is not a store: it has no STORE\.json"):
        open_store(whole / "band-01")


def test_one_band_can_be_carried_elsewhere_alone(whole, tmp_path):
    for name in ("STORE.json", "MANIFEST.json", "samples.parquet", "band-02"):
        copy = shutil.copytree if (whole / name).is_dir() else shutil.copy
        (tmp_path / "node").mkdir(exist_ok=True)
        copy(whole / name, tmp_path / "node" / name)
    there = open_store(tmp_path / "node", bands=(2,))
    assert there.digest == open_store(whole).digest
    assert there.ids("val").tolist() == open_store(whole).ids("val").tolist()
    with pytest.raises(CorruptionError, match=r"band-00/train-00000-of-00002\.parquet is missing"):
        open_store(tmp_path / "node")


def test_the_splitting_process_does_not_load_torch():
    code = "import sys, bandwise.store.writing.split, bandwise.store.verify; print('torch' in sys.modules)"
    assert run_python(code).stdout.strip() == "False"


def test_the_manifest_states_how_to_read_the_bands(whole):
    manifest = json.loads((whole / "MANIFEST.json").read_text())
    assert manifest["transform"]["scale"] == [2.0] * 4
    assert manifest["transform"]["offset"] == [0, 128, 128, 128]
    assert manifest["record"]["header"] == "P6      4 4 255\n"
    assert manifest["splits"]["val"] == {"groups": 1, "samples": 7, "rows": 7}
    assert {"pillow", "pyarrow"} <= manifest["versions"].keys()
    assert set(manifest["files"]) == set(tree(whole)) - {"MANIFEST.json"}

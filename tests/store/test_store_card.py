"""The Hugging Face library and plain YAML read the card and the files as they stand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.helpers.arrays import RandomSource, make_store, samples_of

from bandwise.bands.quantize import reference_split
from bandwise.bands.transform import SubbandTransform
from bandwise.store.manifest import Identity, SampleFacts
from bandwise.store.writing.derive import build_card

AWKWARD = ("a: b", 'quo"te', "yes", "é\n\x07", "\udcff", "0", "#x", "😀", "\u2028")
IDENTITY = Identity(
    format="bandwise-store",
    version=(1, 0),
    config={"canvas": 8},
    group_size=256,
    classes=AWKWARD,
    channels=3,
    samples=SampleFacts("0" * 64, train=1, holdout=0, val=0),
    source={"name": "odd\nname"},
    versions={},
)


def load(store: Path, config: str, cache: Path):
    from datasets import load_dataset

    return load_dataset(str(store), config, cache_dir=str(cache))


@pytest.mark.parametrize(("codec", "channels"), [("zstd", 3), ("zstd", 1), ("webp", 3)])
def test_load_dataset_shows_pictures_and_class_names(tmp_path, codec, channels):
    source = RandomSource(train=12, val=5, channels=channels, broken=frozenset({b"train/00002"}))
    store = make_store(tmp_path / "store", source, codec=codec, holdout=0.2)
    loaded = load(store.path, "band-03", tmp_path / "cache")
    assert set(loaded) == {"train", "holdout", "val"}
    for split, rows in loaded.items():
        expected = samples_of(source, split, holdout=0.2)
        assert rows["id"][:] == [sample.id for sample in expected]
        assert rows.features["label"].names == ["a", "b", "c"]
        assert rows["label"][:] == [sample.label for sample in expected]
        for picture, sample in zip(rows["image"], expected, strict=True):
            band = reference_split(sample.pixels, SubbandTransform(2, "dct2d"))[3]
            assert np.array_equal(np.asarray(picture).reshape(band.shape), band)


def test_load_dataset_gives_the_bytes_of_float16_records(tmp_path):
    source = RandomSource(train=4, val=3)
    store = make_store(tmp_path / "store", source, storage="float16")
    (first, *_) = load(store.path, "band-01", tmp_path / "cache")["train"]
    assert len(first["image"]["bytes"]) == 4 * 4 * 3 * 2


def test_the_card_lists_only_what_is_stored(tmp_path):
    source = dataclasses.replace(RandomSource(train=4, val=0), classes=("a", "b", "c"))
    store = make_store(tmp_path / "store", source, bands="0,2")
    front = yaml.safe_load((store.path / "README.md").read_text().split("---\n")[1])
    assert [config["config_name"] for config in front["configs"]] == ["band-00", "band-02"]
    assert [part["split"] for part in front["configs"][0]["data_files"]] == ["train"]


def test_awkward_class_names_survive_the_card():
    front = yaml.safe_load(build_card(IDENTITY, (0, 1), ("train",)).split("---\n")[1])
    for info in front["dataset_info"]:
        names = info["features"][1]["dtype"]["class_label"]["names"]
        expected = ["a: b", 'quo"te', "yes", "é\ufffd\ufffd", "\ufffd", "0", "#x", "😀", "\ufffd"]
        assert list(names.values()) == expected
        assert list(names) == [str(label) for label in range(len(AWKWARD))]

"""CIFAR and IDX files: labels, pixels and order against files made by hand, and what damage says."""

import pickle
import struct

import numpy as np
import pytest

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.named.arrays import CifarSource, IdxSource

RNG = np.random.default_rng(11)
CLASSES = ("zero", "one", "two")


@pytest.fixture
def cifar(tmp_path):
    """Return the folder of a CIFAR set of 4 images a file, and all pixels (24, 32, 32, 3) with their labels."""
    pixels = RNG.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    labels = RNG.integers(0, 3, 24)
    for part, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        records = [
            bytes([labels[i]]) + b"".join(pixels[i, :, :, colour].tobytes() for colour in range(3))
            for i in range(4 * part, 4 * part + 4)
        ]
        (tmp_path / f"{name}.bin").write_bytes(b"".join(records))
    return tmp_path, pixels, labels


@pytest.fixture
def idx(tmp_path):
    """Return the folder of an IDX set of 6 and 2 images of 28x28, and all pixels with their labels."""
    pixels = RNG.integers(0, 256, (8, 28, 28), dtype=np.uint8)
    labels = RNG.integers(0, 3, 8, dtype=np.uint8)
    for part, chosen in (("train", slice(0, 6)), ("t10k", slice(6, 8))):
        count = len(pixels[chosen])
        images = struct.pack(">IIII", 0x803, count, 28, 28) + pixels[chosen].tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + labels[chosen].tobytes()
        )
    return tmp_path, pixels, labels


def test_cifar(cifar):
    folder, pixels, labels = cifar
    source = CifarSource(folder, "cifar10", CLASSES)
    entries = source.entries()
    assert [entry.label for entry in entries] == labels.tolist()
    assert [entry.split for entry in entries] == ["train"] * 20 + ["val"] * 4
    assert (entries[0].path, entries[23].path) == (b"data_batch_1/00000", b"test_batch/00003")
    assert {entry.size for entry in entries} == {3072}
    for entry, picture in zip(entries, pixels, strict=True):
        assert np.array_equal(source.read(entry.path), picture)


def test_idx(idx):
    folder, pixels, labels = idx
    source = IdxSource(folder, "mnist", CLASSES)
    entries = source.entries()
    assert source.channels == 1
    assert [entry.label for entry in entries] == labels.tolist()
    assert [entry.split for entry in entries] == ["train"] * 6 + ["val"] * 2
    assert entries[7].path == b"t10k/00001"
    for entry, picture in zip(entries, pixels, strict=True):
        assert np.array_equal(source.read(entry.path), picture[:, :, None])


def test_canvas_of_the_same_side_is_the_picture(idx):
    folder, pixels, _ = idx
    canvas, notes = load_canvas(IdxSource(folder, "mnist", CLASSES), b"train/00002", SplitConfig(canvas=28))
    assert np.array_equal(canvas[:, :, 0], pixels[2])
    assert notes == ()


def test_sources_are_small_and_travel(cifar, idx):
    for source in (CifarSource(cifar[0], "cifar10", CLASSES), IdxSource(idx[0], "mnist", CLASSES)):
        assert pickle.loads(pickle.dumps(source)) == source
        assert len(pickle.dumps(source)) < 1000
        assert str(source.root) not in repr(source.fingerprint)


def test_damaged_cifar(cifar):
    source = CifarSource(cifar[0], "cifar10", CLASSES)
    path = cifar[0] / "data_batch_3.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptionError, match=r"data_batch_3.bin has 12291 bytes, no multiple of 3073"):
        source.entries()
    with pytest.raises(IncompatibleError, match="ends before byte 12292"):
        source.read(b"data_batch_3/00003")
    path.write_bytes(b"\x07" + content[1:])
    with pytest.raises(CorruptionError, match="has the label 7; there are 3 classes"):
        source.entries()
    path.unlink()
    with pytest.raises(CorruptionError, match=r"data_batch_3.bin is missing; remove .* and fetch it again"):
        source.entries()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"\1" + c[1:]], ids=["short", "long", "magic"]
)
def test_damaged_idx(idx, name, damage):
    path = idx[0] / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptionError, match=f"{name} is no IDX file of .* fetch it again"):
        IdxSource(idx[0], "mnist", CLASSES).entries()

"""The named sets, fetched for real into a fresh home; and then without any network."""

import contextlib
import hashlib
import io
import socket
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from bandwise.config import SplitConfig
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.named import arrays
from bandwise.sources.named import catalog as named
from bandwise.sources.samples import freeze_samples

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Use one temporary home for the whole module."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANDWISE_HOME", str(folder))
        yield folder


@contextlib.contextmanager
def no_network():
    """Fail on any connection and on any program."""

    def refuse(*arguments, **options):
        raise AssertionError("this needs no network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr("subprocess.Popen", refuse)
        yield


def test_photos(home):
    source = named.open_named("photos")
    entries = source.entries()
    assert Counter(entry.split for entry in entries) == {"train": 732, "val": 661}
    assert len(source.classes) == 14
    contents = [source.read(entry.path) for entry in entries]
    assert len({hashlib.sha256(content).digest() for content in contents}) == 1393
    assert sorted(path.name for path in (home / "data/photos").iterdir()) == [".complete.json", "test", "train"]
    for content in contents[::200]:
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.format, min(picture.size)) == ("JPEG", 348)


def test_photos_are_quality_75_with_halved_chroma(home):
    source = named.open_named("photos")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=75)
    with Image.open(stream) as reference, Image.open(io.BytesIO(source.read(source.entries()[0].path))) as picture:
        assert picture.quantization == reference.quantization
        assert [layer[1:3] for layer in picture.layer] == [(2, 2), (1, 1), (1, 1)]


def test_photos_freeze(home):
    frozen = freeze_samples(named.open_named("photos"), SplitConfig())
    assert [len(frozen.range(split)) for split in ("train", "holdout", "val")] == [619, 113, 661]
    held = Counter(frozen.labels[list(frozen.range("holdout"))].tolist())
    assert min(held.values()) >= 3
    assert len(held) == 14


def test_every_photo_decodes_without_a_note(home):
    source = named.open_named("photos")
    config = SplitConfig()
    for entry in source.entries()[::7]:
        canvas, notes = load_canvas(source, entry.path, config)
        assert canvas.shape == (256, 256, 3)
        assert notes == ()


def test_cifar10(home):
    source = named.open_named("cifar10")
    for part, expected in arrays.CIFAR_MD5.items():
        content = (home / f"data/cifar10/{part}.bin").read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == expected
    entries = source.entries()
    assert Counter(entry.split for entry in entries) == {"train": 50_000, "val": 10_000}
    assert set(Counter((entry.split, entry.label) for entry in entries).values()) == {5000, 1000}
    mean = np.mean([source.read(entry.path).mean(axis=(0, 1)) for entry in entries[:50_000:25]], axis=0)
    assert np.abs(mean - np.array([125.3, 123.0, 113.9])).max() < 3, "the published channel means"


@pytest.mark.parametrize(
    ("name", "md5", "counts"),
    [
        ("mnist", arrays.MNIST_MD5, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ("fashion-mnist", arrays.FASHION_MD5, [6000] * 10),
    ],
)
def test_idx_sets(home, name, md5, counts):
    source = named.open_named(name)
    for file, (expected, _) in md5.items():
        content = (home / "data" / name / file).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == expected
    entries = source.entries()
    train = Counter(entry.label for entry in entries if entry.split == "train")
    assert [train[label] for label in range(10)] == counts
    canvas, notes = load_canvas(source, entries[0].path, SplitConfig(canvas=28))
    assert canvas.shape == (28, 28, 1)
    assert notes == ()


# The others have no other way than their publisher's archives of 0.1 to 1.6 GB.
@pytest.mark.parametrize("name", [name for name in named.available() if not name.startswith("image")])
def test_a_set_that_is_there_needs_no_network(home, name):
    named.fetch(name)
    with no_network():
        assert named.fetch(name).parent == home / "data"
    assert not list((home / "fetch").glob("*/*")), "nothing is left of the downloads"

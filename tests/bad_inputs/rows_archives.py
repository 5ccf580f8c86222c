"""Rows S25 to S29: archives that are damaged, hostile, or full of what is no picture."""

import functools
import gzip
import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.bad_inputs.bench import Bench, Case, Row, png
from tests.bad_inputs.traps import Canary
from tests.sources import imagenet
from tests.sources.imagenet import IDS, tar_of

from bandwise.sources.archives import devkit, imagenet21k
from bandwise.sources.named import fetch


def archives(damage):
    """Return a preparation of a small ImageNet-1K, damaged."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        folders = imagenet.make_folders(bench.path / "folders")
        place = imagenet.make_imagenet1k(folders, bench.path / "archives")
        damage(place, imagenet.class_tars(folders))
        return bench.split(data=place)

    return prepare


def train_tar(change):
    def damage(place: Path, inner: dict[str, bytes]) -> None:
        change(inner)
        (place / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))

    return archives(damage)


def cut_inner(inner: dict[str, bytes]) -> None:
    inner[f"{IDS[1]}.tar"] = inner[f"{IDS[1]}.tar"][:1200]


def shard(change):
    """Return a preparation of one WebDataset shard, built by tarfile."""

    def prepare(bench: Bench) -> Sequence[str | Path]:
        place = bench.path / "shards"
        place.mkdir()
        with tarfile.open(place / "train-000000.tar", "w") as tar:
            for number in range(4):
                for name, content in (
                    (f"{number}.png", png(number % 2, number)),
                    (f"{number}.cls", b"%d" % (number % 2)),
                ):
                    tar.addfile(*member(name, content))
            change(tar)
        return bench.split(data=place)

    return prepare


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, target
    return info, io.BytesIO(content)


def links_and_devices(tar: tarfile.TarFile) -> None:
    for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.CHRTYPE)):
        tar.addfile(*member(name, kind=kind, target="/etc/passwd"))


def nothing_outside(bench: Bench) -> None:
    found = {path.name for path in bench.path.iterdir()} - {"home"}
    assert found <= {"shards", "store"}
    assert not list(bench.path.rglob("*passwd*"))


def bomb(bench: Bench) -> Sequence[str | Path]:
    """A devkit of four kilobytes that unpacks to four megabytes, where one is allowed."""
    bench.patch.setattr(devkit, "_MAX_PLAIN_BYTES", 1 << 20)
    content = gzip.compress(bytes(4 << 20))

    def damage(place: Path, inner: dict[str, bytes]) -> None:
        (place / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(content)

    return archives(damage)(bench)


def many_unreadable(*flags: str):
    def prepare(bench: Bench) -> Sequence[str | Path]:
        opened = functools.partial(imagenet21k.open_imagenet21k, min_images=10, val_images=2)
        bench.patch.setattr(imagenet21k, "open_imagenet21k", opened)
        inner = {}
        for label, broken in ((0, 104), (1, 3)):
            sound = {f"{IDS[label]}_{number}.JPEG": imagenet.jpeg(label, number) for number in range(12)}
            gone = {
                f"{IDS[label]}_{number}.JPEG": b"<html>404</html>%d" % number for number in range(100, 100 + broken)
            }
            inner[f"{IDS[label]}.tar"] = tar_of({**sound, **gone})
        place = bench.path / "winter21_whole.tar"
        place.write_bytes(tar_of(inner))
        return bench.split(*flags, data=place)

    return prepare


def pickled_cifar(bench: Bench) -> Sequence[str | Path]:
    """What a mirror offers under the name of the official archive, and only that."""
    place = bench.path / "home" / "downloads"
    place.mkdir(parents=True)
    content = tar_of({"cifar-10-batches-py/data_batch_1": pickle.dumps(Canary(bench.path / "fired"))})
    (place / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(content))
    real = fetch._placed_by_hand_first
    bench.patch.setattr(fetch, "_placed_by_hand_first", lambda *given: list(real(*given))[:1])
    return bench.split(data="cifar10")


def pickled_folder(bench: Bench) -> Sequence[str | Path]:
    bench.pictures.mkdir()
    (bench.pictures / "data_batch_1").write_bytes(pickle.dumps(Canary(bench.path / "fired")))
    return bench.split()


def canary_lives(bench: Bench) -> None:
    assert not (bench.path / "fired").exists()


ROWS: dict[str, Row] = {
    "S25": (
        Case(train_tar(lambda inner: inner.pop(f"{IDS[2]}.tar")), 2, ["the archive lacks n01484850.tar"]),
        Case(train_tar(cut_inner), 2, ["n01443537.tar at byte ", "is cut off: 'n01443537_1.JPEG' should have"]),
    ),
    "S26": (
        Case(
            shard(lambda tar: tar.addfile(*member("../x.png", b"x"))),
            2,
            ["'../x.png'", "names with a leading /"],
            nothing_outside,
        ),
        Case(shard(lambda tar: tar.addfile(*member("/x.png", b"x"))), 2, ["names with a leading /"], nothing_outside),
        Case(shard(lambda tar: tar.addfile(*member("0.png", b"x"))), 2, ["two pictures"], nothing_outside),
        Case(shard(links_and_devices), 0, ["2 links", "1 devices"], nothing_outside),
        Case(
            shard(lambda tar: tar.addfile(*member("n" * 5000, b"x"))),
            2,
            ["its name has 5000 bytes; 1 to 4096 are allowed"],
        ),
    ),
    "S27": Case(bomb, 2, ["devkit_t12.tar.gz: a gzip file holds more than the 1048576 bytes expected"]),
    "S28": (
        Case(many_unreadable(), 3, ["unreadable images, 100 are allowed", "a web page"]),
        Case(
            many_unreadable("--max-bad", "200"),
            0,
            ["WARNING: 107 pictures were skipped", "most in class 'n01440764' (104 of 116)"],
        ),
    ),
    "S29": (
        Case(pickled_cifar, 2, ["the set 'cifar10' could not be fetched", "SHA256 hash"], canary_lives),
        Case(pickled_folder, 2, ["holds no class folders"], canary_lives),
    ),
}

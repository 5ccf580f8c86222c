"""Small archives of the structure of ImageNet's: 8 classes of made-up photographs."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image
from tests.pictures import make_picture

from bandwise.config import SplitConfig
from bandwise.store.reading.store import open_store
from bandwise.store.writing.split import split_dataset

WORDS = {
    "n01440764": "tench, Tinca tinca",
    "n01443537": "goldfish, Carassius auratus",
    "n01484850": "great white shark",
    "n02012849": "crane",
    "n02085620": "Chihuahua",
    "n03126707": "crane",
    "n07749582": "lemon",
    "n15075141": "toilet tissue, toilet paper",
}
IDS = list(WORDS)
# As in the devkit, the numbers of the classes are not in the order of their ids.
NUMBERS = {wordnet_id: (5 * label + 2) % 8 + 1 for label, wordnet_id in enumerate(IDS)}
CONFIG = SplitConfig(canvas=16, stride=2, holdout=0.2, holdout_min=1)


def jpeg(label: int, index: int, side: int = 20) -> bytes:
    """Return one picture as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(make_picture(label, index, side)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def make_folders(root: Path, *, train: int | Sequence[int] = 5, val: int | Sequence[int] = 2, side: int = 20) -> Path:
    """Write class folders with the names that ImageNet's pictures have, and return the root.

    Args:
        root: where to.
        train: pictures of every class, or of each.
        val: likewise.
        side: of a picture, in pixels.
    """
    of_train, of_val = ([each] * len(IDS) if isinstance(each, int) else list(each) for each in (train, val))
    # Validation pictures are numbered without regard to their class.
    keys = sorted((8 * index + (3 * label) % 8, label) for label, count in enumerate(of_val) for index in range(count))
    files = {
        f"train/{IDS[label]}/{IDS[label]}_{37 * index + 1}.JPEG": (label, index)
        for label, count in enumerate(of_train)
        for index in range(count)
    }
    files |= {
        f"val/{IDS[label]}/ILSVRC2012_val_{number:08d}.JPEG": (label, 1000 + number)
        for number, (_, label) in enumerate(keys, start=1)
    }
    for name, (label, index) in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(label, index, side))
    return root


def tar_of(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar of regular files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


def class_tars(root: Path) -> dict[str, bytes]:
    """Return one tar a class folder."""
    return {f"{wordnet_id}.tar": tar_of(files_below(root / "train" / wordnet_id)) for wordnet_id in IDS}


def meta_mat(*, compressed: bool = True, ids: dict[str, int] = NUMBERS) -> bytes:
    """Return a `meta.mat` like the devkit's: the classes by their numbers, then two inner nodes."""
    fields = [
        ("ILSVRC2012_ID", object),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", object),
    ]
    fields += [("children", object), ("wordnet_height", object), ("num_train_images", object)]
    rows = [
        (float(number), wordnet_id, WORDS[wordnet_id], "a \u00e9 gloss", 0.0, [], 0.0, 1300.0)
        for wordnet_id, number in sorted(ids.items(), key=lambda item: item[1])
    ]
    rows += [(9.0, "n00001740", "entity", "all", 2.0, [1.0, 2.0], 3.0, 0.0)]
    rows += [(10.0, "n00001930", "physical entity", "more", 2.0, [3.0, 9.0], 2.0, 0.0)]
    synsets = np.array(rows, dtype=fields).reshape(-1, 1)
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"other": np.eye(3), "synsets": synsets}, do_compression=compressed)
    return stream.getvalue()


def ground_truth(root: Path) -> str:
    """Return the devkit's labels of the validation pictures: the number of the class, a line each."""
    label_of = {path.name: path.parent.name for path in (root / "val").glob("*/*")}
    return "".join(f"{NUMBERS[label_of[name]]}\n" for name in sorted(label_of))


def devkit(truth: str, meta: bytes) -> bytes:
    """Return the devkit's archive."""
    members = {"readme.txt": b"read me", "data/meta.mat": meta}
    members["data/ILSVRC2012_validation_ground_truth.txt"] = truth.encode()
    return gzip.compress(tar_of({f"ILSVRC2012_devkit_t12/{name}": content for name, content in members.items()}))


def make_imagenet1k(root: Path, out: Path) -> Path:
    """Write the three archives of the pictures below `root` into `out`."""
    out.mkdir()
    (out / "ILSVRC2012_img_train.tar").write_bytes(tar_of(class_tars(root)))
    (out / "ILSVRC2012_img_val.tar").write_bytes(tar_of(files_below(root / "val")))
    (out / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit(ground_truth(root), meta_mat()))
    return out


def split(source, out: Path, **options):
    """Split a source and return its store."""
    split_dataset(source, CONFIG, out, **options)
    return open_store(out)


def contents(source) -> list[tuple[str, int, bytes]]:
    """Return split, label and bytes of every picture, sorted, so that names do not matter."""
    return sorted((entry.split, entry.label, source.read(entry.path)) for entry in source.entries())

"""What the golden record is made from: pictures by seeds, in class folders, archives and shards; configurations."""

import copy
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
from PIL import Image

CLASSES = ("ash", "birch", "cedar")
WORDNET = {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish", "n02012849": "crane", "n03126707": "crane"}
NUMBERS = dict(zip(WORDNET, (3, 1, 4, 2), strict=True))
BASE: dict[str, Any] = {
    "data": {"data": "pictures"},
    "split": {"stride": 2, "canvas": 32},
    "network": {"model": "resnet8-slim", "stem": "dense"},
    "training": {"crop": 28, "epochs": 2, "batch_size": 16, "checkpoint_steps": 3, "device": "cpu"},
}


def pixels(label: int, index: int, height: int, width: int) -> np.ndarray:
    """Return uint8 (height, width, 3): stripes whose direction and hue say the class, and noise."""
    random = np.random.default_rng([label, index, height, width])
    rows, columns = np.mgrid[0:height, 0:width]
    wave = np.sin(0.6 * (rows * np.sin(label) + columns * np.cos(label)) + random.uniform(0, 6))
    hue = np.eye(3)[label % 3] * 80 + 70
    return np.clip(hue + 50 * wave[..., None] + random.normal(0, 10, (height, width, 3)), 0, 255).astype(np.uint8)


def bmp(label: int, index: int, *, side: int = 0) -> bytes:
    """Return one picture as BMP, whose bytes depend on no compressor; 32 to 48 pixels a side unless one is given."""
    height, width = (side, side) if side else (32 + (5 * index + label) % 17, 32 + (7 * index + 3 * label) % 17)
    return encoded(Image.fromarray(pixels(label, index, height, width)), "BMP")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return a picture as a file of some kind."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_pictures(root: Path, *, train: int = 30, val: int = 9, test: int = 0, side: int = 0) -> None:
    """Write `ROOT/SPLIT/CLASS/NUMBER.bmp`."""
    for split, count, first in (("train", train, 0), ("val", val, 1000), ("test", test, 2000)):
        for label, name in enumerate(CLASSES):
            for index in range(count):
                write(root / split / name / f"{index:03d}.bmp", bmp(label, first + index, side=side))


def make_flat(root: Path) -> None:
    """Write class folders without a reported set; two pictures stand there twice, one of them in two classes."""
    for label, name in enumerate(CLASSES):
        for index in range(12):
            write(root / name / f"{index:03d}.bmp", bmp(label, index))
    write(root / CLASSES[0] / "again.bmp", bmp(0, 3))
    write(root / CLASSES[1] / "other.bmp", bmp(2, 5))


def make_odd(root: Path) -> None:
    """Write pictures that are unusual but accepted, and some that cannot be read."""
    image = Image.fromarray(pixels(0, 0, 40, 36))
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {
        "grey.png": encoded(image.convert("L"), "PNG", compress_level=0),
        "grey alpha.png": encoded(image.convert("LA"), "PNG", compress_level=0),
        "palette.png": encoded(image.quantize(16), "PNG", compress_level=0, transparency=3),
        "alpha.png": encoded(Image.merge("RGBA", (*image.split(), image.getchannel(0))), "PNG", compress_level=0),
        "sixteen.png": encoded(Image.fromarray(pixels(1, 1, 33, 40)[..., 0].astype(np.uint16) * 257), "PNG"),
        "bits.bmp": encoded(image.convert("1"), "BMP"),
        "turned.jpg": encoded(image, "JPEG", quality=90, exif=turned),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG", quality=90),
        "grey.jpeg": encoded(image.convert("L"), "JPEG", quality=80),
        "progressive.jpg": encoded(image, "JPEG", quality=75, progressive=True),
        "moving.gif": encoded(image.quantize(8), "GIF", save_all=True, append_images=[image.quantize(4)]),
        "plain.webp": encoded(image, "WEBP", lossless=True),
        "wide.bmp": encoded(Image.fromarray(pixels(2, 2, 20, 90)), "BMP"),
        "one.bmp": encoded(Image.fromarray(pixels(2, 2, 1, 1)), "BMP"),
        "\u00e9t\u00e9.bmp": bmp(1, 77),
        "wrong.png": bmp(1, 78),
    }
    files |= {
        "empty.png": b"",
        "words.jpg": b"this is no picture",
        "cut.jpg": files["progressive.jpg"][:300],
        "cut.png": files["grey.png"][:200],
        "cut.bmp": bmp(1, 79)[:900],
        "large.bmp": encoded(Image.fromarray(pixels(2, 3, 80, 80)), "BMP"),
    }
    for number, (name, content) in enumerate(files.items()):
        write(root / "train" / CLASSES[number % 2] / name, content)
    for label in (0, 1):
        for index in range(8):
            write(root / "train" / CLASSES[label] / f"{index:03d}.bmp", bmp(label, index))
        write(root / "val" / CLASSES[label] / "000.bmp", bmp(label, 1000))
    write(root / "train" / CLASSES[0] / "notes.txt", b"no picture by name")


def tar_of(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar of regular files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def make_webdataset(root: Path) -> None:
    """Write two shards to train on, with numbers as labels, and one of the reported set, with JSON."""
    for shard in range(2):
        members: dict[str, bytes] = {}
        for index in range(12):
            key, label = f"some/{shard}{index:03d}", index % 3
            members |= {f"{key}.bmp": bmp(label, 100 * shard + index), f"{key}.cls": str(label).encode()}
        form = tarfile.PAX_FORMAT if shard else tarfile.GNU_FORMAT
        write(root / f"train-{shard:05d}-of-00002.tar", tar_of(members, form))
    members = {}
    for index in range(6):
        members |= {
            f"{index:04d}.json": b'{"label": %d}' % (index % 3),
            f"{index:04d}.bmp": bmp(index % 3, 1000 + index),
        }
    write(root / "val-00000-of-00001.tar", tar_of(members))
    write(root / "classes.txt", "\n".join(CLASSES).encode())


def make_parquet(root: Path, *, plain: bool) -> None:
    """Write shards as the `datasets` library does, with pages as they are, or compressed."""
    names = {"info": {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", kind), ("label", pa.int64())], metadata={"huggingface": json.dumps(names)})
    root.mkdir(parents=True)
    for name, count, first in (("train", 24, 0), ("validation", 6, 1000)):
        rows = [{"bytes": bmp(index % 3, first + index), "path": f"{index}.bmp"} for index in range(count)]
        table = pa.table({"image": rows, "label": [index % 3 for index in range(count)]}, schema=schema)
        packing = {"compression": "NONE", "use_dictionary": False} if plain else {"compression": "ZSTD"}
        pq.write_table(table, root / f"{name}-00000-of-00001.parquet", row_group_size=10, **packing)


def make_imagenet1k(root: Path) -> None:
    """Write the three archives of ImageNet-1K with four classes and a devkit in the form of the published one."""
    classes = {
        f"{name}.tar": tar_of({f"{name}_{index}.JPEG": bmp(label, index) for index in range(6)})
        for label, name in enumerate(WORDNET)
    }
    labels = [(3 * number) % 4 for number in range(8)]
    pictures = {f"ILSVRC2012_val_{n + 1:08d}.JPEG": bmp(label, 1000 + n) for n, label in enumerate(labels)}
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height"]
    fields.append("num_train_images")
    rows = [(float(NUMBERS[n]), n, WORDNET[n], "a gloss", 0.0, [], 0.0, 6.0) for n in sorted(NUMBERS, key=NUMBERS.get)]
    rows.append((5.0, "n00001740", "entity", "all", 2.0, [1.0, 2.0], 2.0, 0.0))
    mat = io.BytesIO()
    synsets = np.array(rows, dtype=[(field, object) for field in fields]).reshape(-1, 1)
    scipy.io.savemat(mat, {"synsets": synsets}, do_compression=True)
    truth = "".join(f"{NUMBERS[list(WORDNET)[label]]}\n" for label in labels)
    kit = {"readme.txt": b"read me", "data/meta.mat": mat.getvalue()}
    kit["data/ILSVRC2012_validation_ground_truth.txt"] = truth.encode()
    kit = {f"ILSVRC2012_devkit_t12/{name}": content for name, content in kit.items()}
    write(root / "ILSVRC2012_img_train.tar", tar_of(classes))
    write(root / "ILSVRC2012_img_val.tar", tar_of(pictures))
    write(root / "ILSVRC2012_devkit_t12.tar.gz", gzip.compress(tar_of(kit), mtime=0))


def make_imagenet21k(root: Path) -> None:
    """Write a tar of class tars as that of winter 2021; the second class has too few pictures to be kept."""
    classes = {}
    for label, (name, count) in enumerate(zip(WORDNET, (505, 4, 502, 501), strict=True)):
        members = {f"{name}_{index}.JPEG": bmp(label, index, side=10) for index in range(count)}
        classes[f"winter21_whole/{name}.tar"] = tar_of(members)
    write(root / "winter21_whole.tar.gz", tar_of(classes))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested plain data with some values replaced."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def write_config(name: str, changes: dict[str, Any]) -> str:
    """Write the configuration of a training as a file and return its name."""
    Path("configs").mkdir(exist_ok=True)
    Path(f"configs/{name}.json").write_text(json.dumps(merged(BASE, changes)))
    return f"configs/{name}.json"


def flip(path: str, at: float | bytes) -> None:
    """Change one bit of a file: at a share of its length, or, where that is not always the same, in certain words."""
    raw = bytearray(Path(path).read_bytes())
    raw[raw.index(at) + 2 if isinstance(at, bytes) else int(at * (len(raw) - 1))] ^= 1
    Path(path).write_bytes(raw)

"""Readers of things that strangers write, each fed with thousands of damaged inputs: only documented errors may come.

A mutator with a seed, no coverage: bits, bytes, blocks, lengths and known bad numbers in valid inputs, and pure noise.
"""

import io
import random
import signal
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import yaml
from PIL import Image
from tests.faults import material

from bandwise.checkpoints.tensors import from_file, to_bytes
from bandwise.config import RunConfig, to_dict
from bandwise.config.branches import parse_bands, parse_branches
from bandwise.config.configfile import config_from_dict, read_config_file
from bandwise.errors import BandwiseError
from bandwise.files.documents import json_bytes, read_json, seal
from bandwise.runs.run import LogitsFile, read_logits, write_logits
from bandwise.sources.archives.devkit import read_synsets
from bandwise.sources.archives.tar import members
from bandwise.sources.decoding.decode import BadImage, decode
from bandwise.sources.reading import memory_region
from bandwise.store.reading.store import open_store
from bandwise.store.verify import verify_store

SECONDS = 10
_NUMBERS = (b"0", b"-1", b"1e400", b"NaN", b"18446744073709551616", b"null", b"[]", b"{}", b'""', b"true", b'"../.."')
_WORDS = (
    b"\x00" * 8,
    b"\xff" * 8,
    b"\xff\xff\xff\x7f",
    b"..",
    b"/",
    b'"',
    b"{",
    b"[",
    b"\n",
    b"!!python/name:os.system ",
)


@dataclass(frozen=True)
class Target:
    """One reader, what it may raise, and valid inputs to start from."""

    read: Callable[[bytes], object]
    allowed: tuple[type[BaseException], ...]
    seeds: tuple[bytes, ...]
    refused: float = 0.1
    """The share of damaged inputs that are refused at the least."""


class Hung(Exception):
    """An input took longer than it may."""


def mutate(seed: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(0, 300))
    content = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not content:
            break
        place = rng.randrange(len(content))
        kind = rng.randrange(8)
        if kind == 0:
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[place] = rng.randrange(256)
        elif kind == 2:
            del content[place : place + rng.choice((1, 2, 8, 64, 512))]
        elif kind == 3:
            content[place:place] = rng.choice(_WORDS)
        elif kind == 4:
            content[place:place] = content[place : place + rng.randrange(1, 64)]
        elif kind == 5:
            del content[place:]
        elif kind == 6:
            word = rng.choice(_NUMBERS)
            content[place : place + rng.choice((0, 1, len(word)))] = word
        else:
            content[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)))
    return bytes(content)


def fuzz(target: Target, count: int, seed: int, note: Path) -> tuple[int, list[str]]:
    """Read `count` damaged inputs; return how many were refused, and what else happened.

    The input at hand is kept in `note`, for the case that it ends the process.
    """

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung

    rng, refused, wrong = random.Random(seed), 0, []
    previous = signal.signal(signal.SIGALRM, ring)
    for valid in target.seeds:
        target.read(valid)
    for _ in range(count):
        content = mutate(rng.choice(target.seeds), rng)
        note.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            target.read(content)
        except target.allowed:
            refused += 1
        except BaseException as error:
            wrong.append(f"{type(error).__name__}: {str(error)[:200]!r} from {content[:400]!r}")
        finally:
            signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    return refused, wrong


def _in_file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reader(content: bytes) -> object:
        path.write_bytes(content)
        return read(path)

    return reader


def _sealed_again(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Put a right seal on what can still be sealed: a stranger can do so too."""

    def reader(content: bytes) -> object:
        path.write_bytes(content)
        try:
            inner = read_json(path)
            path.write_bytes(json_bytes(seal({key: inner[key] for key in inner if key != "self_sha256"})))
        except (BandwiseError, ValueError, AttributeError, TypeError):
            pass
        return read()

    return reader


def _logits(folder: Path) -> bytes:
    path = folder / "valid.safetensors"
    meta = {"branch": "0", "split": "val", "crops": "1", "store": "0" * 64, "weights": "", "classes": "0" * 64}
    write_logits(path, LogitsFile(np.arange(5), np.arange(5) % 3, np.ones((5, 3), np.float32), meta))
    return path.read_bytes()


def _tar() -> bytes:
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a/1.jpg", "b/" + "x" * 150 + ".jpg", "ü.png"):
            facts = tarfile.TarInfo(name)
            facts.size = 700
            archive.addfile(facts, io.BytesIO(bytes(700)))
    return stream.getvalue()


def _mat() -> bytes:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(kind: int, name: bytes, content: bytes) -> bytes:
        head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", 1, 1)) + element(1, name)
        return element(14, head + content)

    number = matrix(6, b"", element(9, struct.pack("<d", 7)))
    text = matrix(4, b"", element(4, "ab".encode("utf-16-le")))
    fields = [name.encode().ljust(16, b"\0") for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    body = element(5, struct.pack("<i", 16)) + element(1, b"".join(fields)) + number + text + text + number
    plain = matrix(2, b"synsets", body)
    packed = zlib.compress(plain)
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed


def _mat_plain() -> bytes:
    content = _mat()
    return content[:128] + zlib.decompress(content[136:])


def _pictures() -> tuple[bytes, ...]:
    found = []
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind)
        found.append(stream.getvalue())
    return tuple(found)


def _decode(content: bytes) -> object:
    return decode(content, channels=3, background=255, exif="transpose", max_pixels=1_000_000)


def _config(path: Path) -> RunConfig:
    return config_from_dict(read_config_file(path))


def _notation(content: bytes) -> object:
    text = content.decode("latin-1")
    return parse_branches(text, (0, 1, 2), 36) if ";" in text or text == "each" else parse_bands(text, 36)


def make_targets(folder: Path) -> dict[str, Callable[[], Target]]:
    """Return the targets by name, each made when it is wanted, with its files in `folder`."""
    store = folder / "store"

    def manifest() -> Target:
        material.split_small(store)
        path = store / "MANIFEST.json"
        return Target(
            _sealed_again(path, lambda: open_store(store).ids("train")), (BandwiseError,), (path.read_bytes(),)
        )

    def commits() -> Target:
        material.split_small(store)
        path = next((store / "commits").glob("train*"))

        def read() -> object:
            # A record that is not valid is written again; nothing else may happen to the rest.
            (store / "MANIFEST.json").unlink(missing_ok=True)
            material.split_small(store)
            return verify_store(store)

        return Target(_sealed_again(path, read), (BandwiseError,), (path.read_bytes(),), refused=0.0)

    def config() -> Target:
        valid = yaml.safe_dump(to_dict(material.RUN)).encode()
        return Target(_in_file(folder / "c.yaml", _config), (BandwiseError,), (valid, b"split:\n  stride: 4\n"))

    def weights() -> Target:
        import torch

        valid = to_bytes({"a.weight": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.int64)})
        return Target(_in_file(folder / "w.safetensors", from_file), (BandwiseError,), (valid,))

    def logits() -> Target:
        return Target(_in_file(folder / "l.safetensors", read_logits), (BandwiseError,), (_logits(folder),))

    def tar() -> Target:
        read = lambda content: list(members(memory_region(content, "a tar")))  # noqa: E731
        return Target(read, (BandwiseError,), (_tar(),))

    return {
        "configuration files": config,
        "band notation": lambda: Target(_notation, (BandwiseError,), (b"0,3-5", b"all", b"each", b"0;0,1;0,2-4", b"7")),
        "manifests": manifest,
        "commit records": commits,
        "weights": weights,
        "logits": logits,
        "tars": tar,
        "MATLAB files": lambda: Target(read_synsets, (ValueError,), (_mat(), _mat_plain())),
        "pictures": lambda: Target(_decode, (BadImage,), _pictures()),
    }

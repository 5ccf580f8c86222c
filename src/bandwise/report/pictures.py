"""Pictures of some samples and their bands, taken from the preview that was written beside the run."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from bandwise.errors import CorruptionError
from bandwise.files.documents import read_document
from bandwise.files.regular import read_bytes, sha256_bytes
from bandwise.report.page import Figure, Gallery

_LARGEST_BYTES = 1 << 20
_LARGEST_TOTAL_BYTES = 4 << 20


def galleries(folder: Path) -> tuple[tuple[Gallery, ...], str]:
    """Return one gallery a sample of a preview, and a sentence on what is missing, empty where nothing is."""
    index = folder / "preview.json"
    if not index.exists():
        return (), "No preview was written for this run."
    samples: dict[Any, list[Figure]] = {}
    classes: dict[Any, str] = {}
    spent, lacking = 0, ""
    try:
        for entry in _entries(read_document(index).get("pictures")):
            figure = _picture(folder, entry)
            spent += len(figure.uri)
            if spent > _LARGEST_TOTAL_BYTES:
                lacking = f"Only the first pictures are shown; the others are in {folder}."
                break
            samples.setdefault(entry["sample"], []).append(figure)
            classes[entry["sample"]] = str(entry["class"])
    except (CorruptionError, OSError) as error:
        return (), f"The preview could not be read: {error}."
    return tuple(Gallery(classes[sample], tuple(tiles)) for sample, tiles in samples.items()), lacking


def _entries(content: Any) -> list[dict[str, Any]]:
    keys = {"file", "sample", "band", "class", "caption", "sha256"}
    listed = isinstance(content, list) and all(isinstance(entry, dict) and keys <= set(entry) for entry in content)
    if not listed or not all(isinstance(entry["sample"], int) for entry in content):
        raise CorruptionError(f"preview.json is not a list of pictures with {', '.join(sorted(keys))}")
    return content


def _picture(folder: Path, entry: dict[str, Any]) -> Figure:
    name = entry["file"]
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".png"):
        raise CorruptionError(f"preview.json names {name!r}, which is no picture beside it")
    path = folder / name
    if path.is_symlink():
        raise CorruptionError(f"{name} is a link")
    content = read_bytes(path, max_bytes=_LARGEST_BYTES)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            width, height = picture.size
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CorruptionError(f"{name} is not a PNG picture") from error
    if sha256_bytes(content) != entry["sha256"]:
        raise CorruptionError(f"{name} is altered: its SHA-256 is not the one in preview.json")
    caption = str(entry["caption"])
    alt = f"{caption}, of an image of class {entry['class']}"
    return Figure(uri=_uri(content), alt=alt, caption=caption, width=width, height=height)


def png_uri(picture: Image.Image) -> str:
    """Return a picture as a PNG that a page carries in itself."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return _uri(stream.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

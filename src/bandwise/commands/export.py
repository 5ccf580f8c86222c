"""`bandwise export RUN`: what a user takes away."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from bandwise.commands import flags
from bandwise.commands.store_source import run_with_store, source_of
from bandwise.commands.verb import Outcome, command, parse, percent, require_out
from bandwise.errors import UsageError
from bandwise.export.bundle import write_bundle
from bandwise.export.graph import InputType
from bandwise.export.graphfile import GraphFile, GraphFormat, require_place, write_graph
from bandwise.export.page import require_page, web_runtime, write_page
from bandwise.export.parity import Pictures, pictures_of_files, pictures_of_run
from bandwise.files.hub import local_folder
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.release import is_release, read_description
from bandwise.store.reading.store import open_store


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write the classifier of a run in a form to keep, to publish or to use elsewhere."""

    run: flags.Model
    format: Literal["bundle", "onnx", "pt2", "page"] = "bundle"
    """bundle: weights, split, fusion, figures and card, for `predict` and `SpectralEnsemble.from_pretrained`. onnx and
    pt2: one graph from canvases to probabilities, branch logits and bands, compared with the model on real pictures.
    page: a folder for any host of static files, which classifies in the browser of the visitor."""
    out: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Where to write; nothing may be there yet."""
    controls: tuple[Path, ...] = ()
    """With bundle: runs that the card compares this one with."""
    license: str | None = None
    """With bundle: licence of the weights, for the card, such as mit."""
    input: InputType = "uint8"
    """With onnx and pt2: type of the grey levels, 0 to 255 in both."""
    int8: bool = False
    """With onnx: compute in 8 bits, calibrated on the holdout; says the accuracy of both on the reported set."""
    pictures: tuple[str, ...] = ()
    """Not with bundle: files and folders to compare on; the pictures of the run when left out."""
    runtime: Path | None = None
    """With page: folder with the package onnxruntime-web, unpacked; fetched with npm, once, when left out."""
    data: flags.SourceNow = None
    store: flags.StoreNow = None
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "export")
    out = require_out(arguments.out)
    if arguments.format == "bundle":
        return _bundle(arguments, out)
    return _page(arguments, out) if arguments.format == "page" else _graph(arguments, out, arguments.format)


def _bundle(arguments: Arguments, out: Path) -> Outcome:
    written = write_bundle(open_run(arguments.run), out, arguments.controls, arguments.license)
    text = (
        f"wrote {written.path}: {written.bytes / 1e6:.1f} MB in {len(written.files)} files\n"
        f"next: {command('predict', written.path, 'PICTURES')}"
    )
    return Outcome({"path": str(written.path), "bytes": written.bytes, "files": list(written.files)}, text)


def _graph(arguments: Arguments, out: Path, kind: GraphFormat) -> Outcome:
    require_place(out, kind)
    model = local_folder(arguments.run)
    ensemble = SpectralEnsemble.from_pretrained(model)
    pictures = _pictures(arguments, ensemble, model)
    written = write_graph(ensemble, out, kind, pictures, input_type=arguments.input, int8=arguments.int8)
    return Outcome({**asdict(written), "path": str(written.path)}, _graph_text(written))


def _page(arguments: Arguments, out: Path) -> Outcome:
    require_page(out)
    runtime = web_runtime(arguments.runtime)
    model = local_folder(arguments.run)
    ensemble = SpectralEnsemble.from_pretrained(model)
    name = (read_description(model) if is_release(model) else open_run(model).config).name
    written = write_page(ensemble, out, _pictures(arguments, ensemble, model), name, runtime)
    text = (
        f"wrote {written.path}: {written.bytes / 1e6:.1f} MB\n{written.parity}\n"
        f"next: python3 -m http.server --bind 127.0.0.1 --directory {written.path}, and open the address that it names"
    )
    return Outcome({**asdict(written), "path": str(written.path)}, text)


def _pictures(arguments: Arguments, ensemble: SpectralEnsemble, model: Path) -> Pictures:
    if arguments.pictures:
        return pictures_of_files(ensemble, arguments.pictures)
    if is_release(model):
        raise UsageError("an export is compared with its model on real pictures: name some with --pictures PATH...")
    run = run_with_store(model, arguments.store)
    return pictures_of_run(open_store(run.store_path), source_of(run.store_path, arguments.data, run.config.data))


def _graph_text(written: GraphFile) -> str:
    opset = f", opset {written.opset}" if written.opset else ""
    lines = [f"wrote {written.path}: {written.bytes / 1e6:.1f} MB{opset}", str(written.parity)]
    if (small := written.int8) is not None:
        lines.append(
            f"int8, calibrated on {small.calibrated_on} pictures: top-1 {percent(small.top1_int8)}, in float "
            f"{percent(small.top1_float)} ({small.bytes_float / 1e6:.1f} MB), on {small.pictures} reported pictures"
        )
    return "\n".join(lines)

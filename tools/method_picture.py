"""The picture of the method in the README: one photograph, its bands, what every network says, and the fused answer.

Everything in it is real: the pictures are those that a run wrote for its report, the answers those of its networks.

    python -m tools.method_picture runs/demo/photos-sub4 3 docs/method.png
"""

import argparse
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from bandwise import SpectralEnsemble
from bandwise.files.documents import read_document

INK, QUIET, EDGE, WRONG = "#1f2933", "#5c6b7a", "#2f6f9f", "#b4532a"
COLUMNS = {"photo": 0.02, "band": 0.28, "network": 0.47, "answer": 0.60, "fused": 0.83}


def draw(run: Path, sample: int, into: Path) -> None:
    """Draw the picture from a finished run of four bands.

    Args:
        run: the run folder, with its preview.
        sample: which picture of the preview.
        into: the PNG to write.
    """
    ensemble = SpectralEnsemble.from_run(run)
    photo = np.asarray(Image.open(run / "preview" / f"sample-{sample}.png").convert("RGB"))
    images = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None]
    with torch.inference_mode():
        votes = ensemble.branch_logits(images)[:, 0].softmax(dim=-1)
        fused = ensemble(images)[0].softmax(dim=-1)
    winner = int(fused.argmax())
    listed = read_document(run / "preview" / "preview.json")["pictures"]
    truth = next(entry["class"] for entry in listed if entry["sample"] == sample)
    figure = plt.figure(figsize=(11, 4.3), dpi=110)
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, 1), ylim=(0, 1))
    page.axis("off")
    _picture(figure, photo, COLUMNS["photo"], 0.24, 0.2)
    _text(page, COLUMNS["photo"] + 0.1, 0.17, f"{truth}, {photo.shape[1]} x {photo.shape[0]} pixels")
    heights = [0.77, 0.53, 0.29, 0.05]
    for band, height in enumerate(heights):
        middle = height + 0.1
        pixels = np.asarray(Image.open(run / "preview" / f"sample-{sample}-band-{band:02d}.png").convert("RGB"))
        _arrow(page, (COLUMNS["photo"] + 0.205, 0.5), (COLUMNS["band"] - 0.005, middle))
        _picture(figure, pixels, COLUMNS["band"], height, 0.08)
        _text(page, (COLUMNS["band"] + COLUMNS["network"] + 0.08) / 2, middle + 0.035, f"band {band}")
        _arrow(page, (COLUMNS["band"] + 0.085, middle), (COLUMNS["network"] - 0.005, middle))
        _box(page, COLUMNS["network"], middle, f"network {band}")
        vote = int(votes[band].argmax())
        says = f"{ensemble.classes[vote]}  {100 * float(votes[band, vote]):.0f} %"
        _text(page, COLUMNS["answer"], middle, says, ha="left", color=INK if ensemble.classes[vote] == truth else WRONG)
        _arrow(page, (COLUMNS["fused"] - 0.045, middle), (COLUMNS["fused"] - 0.008, 0.5 + 0.06 * (1.5 - band)))
    page.text(COLUMNS["fused"] + 0.08, 0.58, "fused", ha="center", va="center", color=QUIET, fontsize=10)
    answer = f"{ensemble.classes[winner]}\n{100 * float(fused[winner]):.0f} %"
    page.text(COLUMNS["fused"] + 0.08, 0.46, answer, ha="center", va="center", color=INK, fontsize=13, weight="bold")
    drawn = io.BytesIO()
    figure.savefig(drawn, facecolor="white")
    plt.close(figure)
    # A palette takes a quarter of the bytes, and nobody sees it.
    Image.open(drawn).convert("RGB").quantize(128).save(into, optimize=True)


def _picture(figure: Figure, pixels: np.ndarray, left: float, bottom: float, width: float) -> None:
    tall = width * figure.get_figwidth() / figure.get_figheight()
    axes = figure.add_axes((left, bottom, width, tall))
    axes.imshow(pixels, interpolation="nearest")
    axes.axis("off")


def _box(page: Axes, left: float, middle: float, words: str) -> None:
    style = "round,pad=0.004,rounding_size=0.012"
    page.add_patch(FancyBboxPatch((left, middle - 0.055), 0.1, 0.11, boxstyle=style, fc="#e8f1f8", ec=EDGE, lw=1.2))
    page.text(left + 0.05, middle, words, ha="center", va="center", color=INK, fontsize=10)


def _arrow(page: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=QUIET, lw=1))


def _text(page: Axes, x: float, y: float, words: str, ha: str = "center", color: str = QUIET) -> None:
    page.text(x, y, words, ha=ha, va="center", color=color, fontsize=10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw.__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("sample", type=int)
    parser.add_argument("into", type=Path)
    given = parser.parse_args()
    draw(given.run, given.sample, given.into)

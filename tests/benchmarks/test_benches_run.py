"""Every benchmark runs once at its smallest; the numbers are not looked at."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from benchmarks.__main__ import run
from benchmarks.accelerator import transform_figures
from benchmarks.catalog import BENCHES, run_bench
from benchmarks.pictures import imagenet_sized, photographs
from benchmarks.transform import fft_form
from PIL import Image

from bandwise.bands.transform import SubbandTransform
from bandwise.errors import UsageError
from bandwise.sources.decoding import sniff

KEYS = {"name", "unit", "ours", "peers", "ratio", "ratio_of", "reach", "holds", "spread", "note"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Sixteen soft pictures in two classes."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for place in range(16):
        folder = root / "train" / f"class{place % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((160, 120)).save(folder / f"{place}.jpg")
    return root


@pytest.mark.parametrize("name", ["transform", "split", "draft", "size", "load", "engines"])
def test_smallest(name, pictures):
    found = run_bench(name, data=os.fspath(pictures), smallest=True)
    assert found["bench"] == name
    assert found["smallest"]
    for figure in found["figures"]:
        assert set(figure) == KEYS
        assert figure["name"].startswith(f"{name}/")
        assert (figure["ratio"] is None or figure["reach"] is None) == (figure["holds"] is None)
        if figure["reach"] is not None and figure["holds"] is not None:
            at_least = figure["reach"]["op"] == ">="
            value = figure["reach"]["value"]
            assert figure["holds"] == (figure["ratio"] >= value if at_least else figure["ratio"] <= value)
    assert any(figure["ratio"] for figure in found["figures"])


def test_the_command_lists_and_refuses(capsys):
    assert run([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in BENCHES)
    with pytest.raises(UsageError, match="no benchmark 'speed'; choose one of transform, split"):
        run_bench("speed")
    assert run(["transform", "--into", "README.md"]) == 2


def test_pictures_must_be_files(tmp_path):
    with pytest.raises(UsageError, match="neither a folder nor a known set"):
        photographs(os.fspath(tmp_path / "missing"), 4)


def test_imagenet_sized_pictures_have_imagenets_size(pictures):
    made = imagenet_sized(photographs(os.fspath(pictures), 10))
    sizes = [Image.open(io.BytesIO(each.content)).size for each in made]
    assert sorted(set(sizes)) == [(375, 500), (500, 375)]
    assert sizes.count((375, 500)) == 2
    assert not any(sniff.missing_part(each.content) for each in made)
    assert made == imagenet_sized(photographs(os.fspath(pictures), 10))


@pytest.mark.parametrize("stride", [2, 3, 4, 6])
def test_the_fft_form_is_the_one_dimensional_transform(stride):
    import torch

    images = torch.randint(0, 256, (2, 3, 4 * stride, 5 * stride), dtype=torch.uint8)
    exact = SubbandTransform(stride, "dct1d").forward(images.double()) / stride
    exact[1:] += 128
    assert (fft_form(images, stride) - exact).abs().max() < 0.501


def test_the_accelerator_figure_on_a_device_that_is_here():
    (found,) = transform_figures([(2, 32)], 2, device="cpu")
    assert found.ratio == pytest.approx(found.ours / found.peers["copy"])
    assert found.to_dict()["reach"] == {"op": ">=", "value": 0.6}

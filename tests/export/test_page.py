"""The page in a real browser: what it answers, what it refuses, what it never asks for."""

import io
import re
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers.browser import opened_browser, served
from tests.helpers.commands import call

from bandwise.cli import main
from bandwise.commands.demo import page_beside
from bandwise.errors import CorruptionError, UsageError
from bandwise.export import page as page_module
from bandwise.export.page import web_runtime
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.inputs import Input
from bandwise.serving.predict import load_input
from bandwise.sources.decoding.badimage import MIN_SIDE
from bandwise.sources.decoding.decode import to_canvas

pytest.importorskip("onnxruntime", reason="bandwise[onnx] is not installed")


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(runtime, finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page"
    assert main(["export", str(finished), "--format", "page", "-o", str(path)]) == 0
    return path


@contextmanager
def opened(browser, folder, **options):
    """Open the page when it is ready; in the end it has said nothing to the console and asked nobody else."""
    from playwright.sync_api import expect

    noise: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    with served(folder) as address:
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith((address, "data:", "blob:")) else noise.append(request.url),
        )
        page.goto(address)
        expect(page.locator("#status")).to_have_text("Ready.", timeout=120_000)
        yield page
        context.close()
    assert noise == []


def says(page, pattern: str) -> str:
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_have_text(re.compile(pattern), timeout=60_000)
    return page.text_content("#status")


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (90, 160, 40)).save(stream, "PNG")
    return stream.getvalue()


def give(page, name: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})


def test_the_folder_holds_these_files(folder):
    ours = {"index.html", "start.js", "app.js", "picture.js", "style.css", "model.json", "model.onnx"}
    runtime = {f"ort/{name}" for name in ("NOTICE.txt", *page_module._RUNTIME_HASHES)}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == ours | runtime


def test_it_answers_as_predict_and_fuses_what_is_on(browser, folder, finished, reported, capsys):
    from playwright.sync_api import expect

    rows = call(capsys, "predict", finished, *reported)["predictions"]
    ensemble = SpectralEnsemble.from_run(finished)
    with opened(browser, folder, viewport={"width": 1440, "height": 900}) as page:
        for path, row in list(zip(reported, rows, strict=True))[::2]:
            page.set_input_files("#file", str(path))
            best = row["classes"][0]
            says(page, f"^Answer: {best['name']}, {100 * best['probability']:.1f} %$")
            page.evaluate("document.getElementById('status').textContent = ''")
        canvas = load_input(ensemble, Input(str(reported[14]).encode()))[1]
        assert canvas is not None
        images = torch.from_numpy(canvas.transpose(2, 0, 1))[None]
        logits = ensemble.branch_logits(images).numpy()
        votes = torch.from_numpy(logits[:, 0]).softmax(1).max(1)
        shown = [
            page.locator(f"#branches > li:nth-child({place}) .bars li").first.inner_text() for place in range(1, 5)
        ]
        for text, value, index in zip(shown, votes.values.tolist(), votes.indices.tolist(), strict=True):
            assert text.split() == [ensemble.classes[index], f"{100 * value:.1f}", "%"]
        # By keyboard alone: to the first switch, off, and to the second, off.
        page.locator("#file").focus()
        for _ in range(2):
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
        kept = ensemble.fusion.restrict(ensemble.fusion.branches[2:])
        expected = torch.from_numpy(kept.apply(logits[2:])).softmax(1)[0]
        says(page, f"^Answer: {ensemble.classes[int(expected.argmax())]}, {100 * float(expected.max()):.1f} %$")
        assert "2 of 4 branches fused" in page.text_content("#time")
        page.locator("[data-branch='2']").uncheck()
        expect(page.locator("#time")).to_contain_text("1 of 4 branches fused")
        page.locator("[data-branch='3']").click()
        says(page, "^One branch at least stays on")
        assert page.locator("[data-branch='3']").is_checked()
        with page.expect_file_chooser() as chooser:
            page.locator("#file").focus()
            page.keyboard.press("Enter")
        chooser.value.set_files(str(reported[0]))
        says(page, "^Answer")


def test_a_picture_is_dropped(browser, folder, reported):
    with opened(browser, folder) as page:
        page.evaluate(
            """(bytes) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
                for (const kind of ["dragover", "drop"])
                    document.getElementById("drop").dispatchEvent(
                        new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            list(reported[0].read_bytes()),
        )
        says(page, "^Answer: class-")


def test_what_it_refuses_and_what_it_takes(browser, folder):
    with opened(browser, folder) as page:
        give(page, "text.png", b"no picture")
        says(page, r"^text\.png is no picture that this browser can decode\.$")
        assert page.locator("#result").is_hidden()
        give(page, "large.png", bytes(40_000_000))
        says(page, r"^large\.png has 40\.0 MB; this page takes files up to 32 MB\.$")
        give(page, "many.png", png(4000, 3000))
        says(page, "^Answer: class-")
        give(page, "thin.png", png(MIN_SIDE - 1, 500))
        says(page, f"^The picture has 7 x 500 pixels; the short side must have at least {MIN_SIDE}\\.$")
        give(page, "narrow.png", png(500, MIN_SIDE))
        says(page, "^Answer: class-")


def test_more_pixels_than_the_split_takes_are_refused(browser, folder):
    with opened(browser, folder) as page:
        give(page, "more.png", png(8000, 7000))
        says(page, "^The picture has 8000 x 7000 pixels; at most 50000000 are taken")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk(browser, folder, reported, scheme):
    with opened(browser, folder, viewport={"width": 1440, "height": 900}, color_scheme=scheme) as page:
        page.set_input_files("#file", str(reported[0]))
        says(page, "^Answer")
        for width in (375, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background[4:-1].split(","))) > 380) == (scheme == "light")


def test_the_resize_has_the_bytes_of_pillow(browser, folder):
    with opened(browser, folder) as page:
        for width, height, side in ((37, 24, 24), (101, 64, 24), (17, 13, 24), (24, 31, 24), (348, 348, 96)):
            pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
            pixels[::5] = 255
            rgba = np.dstack([pixels, np.full((height, width, 1), 255, np.uint8)])
            given = [width, height, rgba.ravel().tolist(), side]
            for channels in (3, 1):
                picture = Image.fromarray(pixels) if channels == 3 else Image.fromarray(pixels).convert("L")
                found = page.evaluate(
                    """async ([width, height, data, side, channels]) => {
                        const { toCanvas } = await import("./picture.js");
                        return [...toCanvas({ width, height, data: new Uint8ClampedArray(data) }, side, channels)];
                    }""",
                    [*given, channels],
                )
                expected = to_canvas(picture, side).transpose(2, 0, 1)
                np.testing.assert_array_equal(np.array(found).reshape(expected.shape), expected)


def test_opened_from_a_disk_it_says_what_to_do(browser, folder):
    page = browser.new_page()
    page.goto((folder / "index.html").as_uri())
    assert "python3 -m http.server" in page.text_content("#status")
    page.close()


def test_without_a_network_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDWISE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"(?s)npm is not installed.*put these files in.*--runtime"):
        web_runtime()


def test_a_runtime_of_ones_own_is_checked(tmp_path, monkeypatch):
    names = list(page_module._RUNTIME_HASHES)
    package = tmp_path / "package"
    (package / "dist").mkdir(parents=True)
    for name in names:
        (package / "dist" / name).write_bytes(b"ours")
    with pytest.raises(CorruptionError, match=r"ort\.wasm\.min\.mjs is not the one of onnxruntime-web-"):
        web_runtime(package)
    ours = dict.fromkeys(names, page_module.sha256_bytes(b"ours"))
    monkeypatch.setattr(page_module, "_RUNTIME_HASHES", ours)
    assert (
        web_runtime(package) == web_runtime(tmp_path) == web_runtime(package / "dist") == dict.fromkeys(names, b"ours")
    )
    with pytest.raises(CorruptionError, match="is missing"):
        web_runtime(tmp_path / "nowhere")


def test_the_demonstration_names_the_page_or_what_it_lacks(finished, folder, tmp_path, monkeypatch):
    assert page_beside(finished, folder)[0] == folder
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    page, said = page_beside(finished, tmp_path / "page")
    assert page is None
    assert "install bandwise[onnx]; then: bandwise export" in said
    assert not (tmp_path / "page").exists()

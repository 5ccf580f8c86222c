"""Rows S6 to S20: single pictures, good, odd and bad, through `bandwise split`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tests.bad_inputs.bench import SIDE, Bench, Case, Row, encoded, picture, raw_png, stored_ids

RGB = picture()
JPEG = encoded(picture(width=64, height=64), "JPEG", quality=95)
PNG = encoded(RGB, "PNG")
WEBP = encoded(picture(width=64, height=64), "WEBP", lossless=True)
GIF = encoded(RGB, "GIF")
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
LOGO = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@dataclass(frozen=True)
class Odd:
    """One file, and what must be said of it: a reason to skip it, or a note, or nothing at all."""

    name: str
    content: bytes
    reason: str = ""
    note: str = ""
    words: str = ""


def pictures(*odd: Odd, flags: Sequence[str] = ()) -> Case:
    """Split good pictures and odd ones; all that are skipped are skipped in every band, counted, listed and printed."""
    bad = {f"train/a/{one.name}": one for one in odd if one.reason}

    def prepare(bench: Bench) -> Sequence[str]:
        bench.folder()
        for one in odd:
            bench.put(f"train/a/{one.name}", one.content)
        if bad:
            # One fewer than there are may be bad: stopped, with the group that is finished kept.
            bench.call(*bench.split("--max-bad", str(len(bad) - 1), *flags))
            assert bench.code == 3
            assert f"{len(bad)} unreadable images, {len(bad) - 1} are allowed; the first is 'train/a/" in bench.err
            assert "repair or remove them, or allow more with --max-bad" in bench.err
        return bench.split("--max-bad", str(len(bad)), "--json", *flags)

    def after(bench: Bench) -> None:
        found = {sample["path"]: sample for sample in bench.result["bad"]}
        assert {name: sample["reason"] for name, sample in found.items()} == {n: one.reason for n, one in bad.items()}
        for name, one in bad.items():
            assert one.words in found[name]["detail"]
        for one in odd:
            assert not one.note or bench.result["notes"][one.note] >= 1
        assert (f"{len(bad)} pictures were skipped, in every band" in bench.err) == bool(bad)
        assert len(bench.err.splitlines()) < 8
        ids = stored_ids(bench.store)
        wanted = sorted(set(range(10 + len(odd))) - {sample["id"] for sample in found.values()})
        assert all(sorted(of_band) == wanted for of_band in ids.values())
        bench.call(*bench.split(*flags))
        assert all(sample["reason"] in bench.out for sample in found.values())

    return Case(prepare, 0, (), after)


def animation(form: str) -> bytes:
    return encoded(RGB, form, save_all=True, append_images=[picture("RGB", SIDE, SIDE).rotate(90)])


def with_exif(exif: bytes) -> bytes:
    return encoded(RGB, "JPEG", exif=exif)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(width=24, height=16), "JPEG", exif=exif)


def large_header(side: int) -> bytes:
    """Return a small PNG whose header claims a large square."""
    return raw_png((side, side, 8, 2, 0, 0, 0), bytes(100))


def deep() -> Image.Image:
    return Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 200)


def floating() -> bytes:
    return encoded(Image.fromarray(np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)), "TIFF")


def orientation_is_part_of_the_store(bench: Bench) -> None:
    bench.call(*bench.split("--exif", "transpose"))
    assert bench.code == 7
    assert "config.exif: 'ignore' -> 'transpose'" in bench.err


def and_then(case: Case, more) -> Case:
    def after(bench: Bench) -> None:
        case.after(bench)
        more(bench)

    return Case(case.prepare, case.code, case.words, after)


ROWS: dict[str, Row] = {
    "S6": pictures(
        Odd("empty.jpg", b"", "unidentified", words="the file is empty"),
        Odd("one.jpg", b"\xff", "unidentified", words="1 bytes of another kind"),
        Odd("page.jpg", b"<!DOCTYPE html><title>404</title>", "unidentified", words="a web page"),
        Odd("pointer.jpg", LFS, "unidentified", words="git lfs pull"),
        Odd("gone.png", PNG.ljust(2051, b"\0"), note="as long as a 'photo unavailable' placeholder"),
    ),
    "S7": pictures(
        Odd("a.jpg", JPEG[: len(JPEG) // 2], "truncated"),
        Odd("b.png", PNG[: len(PNG) // 2], "truncated"),
        Odd("c.webp", WEBP[: len(WEBP) // 2], "truncated"),
        Odd("whole.webp", WEBP),
    ),
    "S8": pictures(
        Odd("hole.jpg", JPEG[: len(JPEG) // 2] + bytes(len(JPEG) - len(JPEG) // 2), "suspicious"),
        Odd("whole.jpg", JPEG),
    ),
    "S9": pictures(Odd("a.jpg", JPEG + b"more than there should be", note="bytes after the end of the picture")),
    "S10": pictures(Odd("n02105855_2933.JPEG", PNG, note="the extension names another format")),
    "S11": pictures(Odd("n01739381_1309.JPEG", encoded(picture("CMYK"), "JPEG"), note="CMYK")),
    "S12": pictures(
        Odd("l.png", encoded(picture("L"), "PNG")),
        Odd("la.png", encoded(picture("LA"), "PNG"), note="transparency over the background"),
        Odd("p.png", encoded(picture("P"), "PNG")),
        Odd("pt.png", encoded(picture("P"), "PNG", transparency=0), note="transparency over the background"),
        Odd("rgba.png", encoded(picture("RGBA"), "PNG"), note="transparency over the background"),
        Odd("one.png", encoded(picture("1"), "PNG")),
    ),
    "S13": pictures(
        Odd("deep.png", encoded(deep(), "PNG"), note="16 bits reduced to 8"),
        Odd("float.tif", floating(), "unsupported depth", words="save it with 8 or 16 bits"),
    ),
    "S14": pictures(
        *(Odd(f"{number}.jpg", with_exif(b"Exif\0\0II*\0\xff"), note="damaged metadata") for number in range(5))
    ),
    "S15": (
        and_then(pictures(Odd("a.jpg", turned(), note="orientation ignored")), orientation_is_part_of_the_store),
        pictures(Odd("a.jpg", turned(), note="orientation applied"), flags=["--exif", "transpose"]),
    ),
    "S16": pictures(
        Odd("a.gif", animation("GIF"), note="first of several frames"),
        Odd("a.webp", animation("WEBP"), note="first of several frames"),
        Odd("a.tif", animation("TIFF"), note="first of several frames"),
    ),
    "S17": pictures(
        *(
            Odd(f"{width}x{height}.png", encoded(picture("RGB", width, height), "PNG"), *reason)
            for width, height, reason in (
                *((side, side, ("too small",)) for side in range(1, 8)),
                *((side, side, ()) for side in (8, 9, 17)),
                (1, 100, ("too small",)),
                (20_000, 1, ("too small",)),
                (2_000, 9, ()),
            )
        )
    ),
    "S18": (
        pictures(
            Odd("bomb.png", large_header(20_000), "too large", words="refused by Pillow"),
            Odd("map.png", large_header(9_000), "too large", words="9000x9000 pixels; at most 50000000 are decoded"),
        ),
        pictures(Odd("a.png", encoded(picture("RGB", 40, 40), "PNG"), "too large"), flags=["--max-pixels", "1000"]),
    ),
    "S19": pictures(
        Odd("a.eps", LOGO, "unidentified", words="it looks like EPS"),
        Odd("a.psd", b"8BPS" + bytes(40), "unidentified", words="it looks like PSD"),
        Odd("a.svg", b"<svg xmlns='x'></svg>", "unidentified", words="an SVG drawing"),
        Odd("b.jpg", LOGO, "unidentified", words="it looks like EPS"),
    ),
    "S20": pictures(
        Odd("Egyptian_Mau_14.jpg", GIF, note="the extension names another format"),
        Odd("staffordshire_22.jpg", PNG, note="the extension names another format"),
        Odd("Abyssinian_5.jpg", JPEG[:40], "truncated"),
    ),
}

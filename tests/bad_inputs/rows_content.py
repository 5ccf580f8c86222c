"""Pictures whose pixels say nothing: a warning when they are split, and no training on them."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from tests.bad_inputs.bench import SIDE, Bench, Case, Row, encoded, picture
from tests.bad_inputs.trained import FLAGS

Draw = Callable[[np.random.Generator], Image.Image]


def drawn(draw: Draw, *flags: str, sound: int = 0):
    """Return a preparation of 16 pictures that `draw` makes, and of sound ones beside."""

    def prepare(bench: Bench) -> Sequence[str]:
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            for name in ("ant", "bee"):
                for index in range(4):
                    bench.put(f"{split}/{name}/{index}.png", encoded(draw(rng), "PNG"))
        for index in range(sound):
            bench.put(f"train/ant/sound-{index}.png", encoded(picture("RGB", SIDE, SIDE + index), "PNG"))
        return bench.split("--json", *flags)

    return prepare


def white_icon(rng: np.random.Generator) -> Image.Image:
    """Return a white drawing on a transparent ground."""
    pixels = np.full((SIDE, SIDE, 4), 255, np.uint8)
    pixels[..., 3] = rng.integers(0, 256, (SIDE, SIDE))
    return Image.fromarray(pixels)


def deep(bits: int) -> Draw:
    """Return what draws grey pictures of 16 bits that use fewer."""
    return lambda rng: Image.fromarray(rng.integers(0, 1 << bits, (SIDE, SIDE), np.uint16))


def blank(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(0, 256, 3).tolist()))


def training(code: int, *words: str, flags: Sequence[str] = ()) -> Callable[[Bench], None]:
    """Return a check of what training on the store says."""

    def check(bench: Bench) -> None:
        (bench.path / "tiny.yaml").write_text(f"data: {{data: {bench.pictures}}}\nbranches: 0;3\n", encoding="utf-8")
        argv = ["train", bench.path / "tiny.yaml", "--out", bench.path / "run", "--store", bench.store, *FLAGS]
        bench.call(*argv, "--holdout", "0", "--batch-size", "4", *flags)
        assert bench.code == code, bench.err + bench.out
        for each in words:
            assert each in bench.err

    return check


def nothing_said(bench: Bench) -> None:
    assert "16 bits, of which" not in bench.err + bench.out
    assert "one colour" not in bench.err + bench.out


MOST = "16 of 16 pictures have one colour all over"

ROWS: dict[str, Row] = {
    "pictures without content": (
        Case(
            drawn(white_icon),
            0,
            [f"WARNING: {MOST}", "may need another --background"],
            training(2, "the same in band 0"),
        ),
        Case(drawn(blank), 0, [f"WARNING: {MOST}"], training(2, "the same in band 3")),
        Case(
            drawn(deep(8)),
            0,
            [f"WARNING: {MOST}", "WARNING: 16 of 16 pictures have 16 bits, of which at most 12 are used: near black"],
            training(2, "the same in band 0"),
        ),
        Case(drawn(deep(12)), 0, ["of which at most 12 are used: near black; give --depth 12, or what they use"]),
        Case(drawn(white_icon, "--background", "0"), 0, (), training(0, flags=["--background", "0"])),
        Case(drawn(deep(12), "--depth", "12"), 0, (), nothing_said),
        Case(drawn(deep(8), "--depth", "8"), 0, (), training(0, flags=["--depth", "8"])),
        Case(drawn(deep(16)), 0, (), nothing_said),
        Case(
            drawn(blank, sound=5), 0, ["WARNING: 16 of 21 pictures have one colour"], training(2, "one colour all over")
        ),
        Case(drawn(blank, sound=20), 0, ['"one colour all over": 16'], training(0)),
    ),
}

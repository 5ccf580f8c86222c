"""What has to be done to a picture before an exported model sees it, as plain fields that a file can carry."""

from typing import Any

from bandwise.serving.ensemble import SpectralEnsemble

_MODES = {1: "L", 3: "RGB"}
_COLOURS = {1: "grey, 0.299 R + 0.587 G + 0.114 B", 3: "RGB"}


def preprocessing(ensemble: SpectralEnsemble) -> dict[str, Any]:
    """Return how a picture becomes a canvas, with a sentence for every step."""
    config, side = ensemble.split_config, ensemble.canvas
    return {
        "canvas": side,
        "channels": ensemble.channels,
        "mode": _MODES.get(ensemble.channels),
        "background": config.background,
        "exif": config.exif,
        "depth": config.depth,
        "max_pixels": config.max_pixels,
        "steps": _steps(ensemble),
        "layout": f"(batch, {ensemble.channels}, {side}, {side}), grey levels 0 to 255",
    }


def _steps(ensemble: SpectralEnsemble) -> list[str]:
    config, side = ensemble.split_config, ensemble.canvas
    colours = _COLOURS.get(ensemble.channels, f"an array of {ensemble.channels} channels")
    turned = "apply" if config.exif == "transpose" else "ignore"
    return [
        f"decode to 8 bits; {turned} the EXIF orientation; put grey level {config.background} behind what is "
        f"transparent; make it {colours}",
        "cut the central square: its side m is the shorter side, its corner ((width - m) // 2, (height - m) // 2)",
        f"resize it to {side} x {side} by a triangle filter that widens when it shrinks, as Pillow's BILINEAR does; "
        f"leave it as it is where m is {side}",
        f"put colours first; the model itself cuts the central {ensemble.crop} pixels, splits and standardises",
    ]

"""The modes of an ensemble on an accelerator; empty figures where there is none."""

import statistics
import time

import torch

from bandwise.serving.modes import MODES
from benchmarks.figures import Figure

_ROUNDS, _WARM_UP = 20, 3


def accelerator_figures(batch: int) -> list[Figure]:
    """Measure every mode at one batch size, in wall time, the device waited for before and after."""
    titles = {mode: f"infer/batch {batch}/{mode}/accelerator" for mode in MODES}
    if not torch.cuda.is_available():
        return [Figure(title, "ms a picture", note="no accelerator here") for title in titles.values()]
    from benchmarks.infer import ensemble

    made = {mode: ensemble(mode, "cuda") for mode in MODES}
    canvas = made["sequential"].canvas
    images = torch.randint(0, 256, (batch, 3, canvas, canvas), dtype=torch.uint8, device="cuda")
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    with torch.inference_mode():
        for number in range(-_WARM_UP, _ROUNDS):
            for mode in MODES:
                torch.cuda.synchronize()
                started = time.perf_counter()
                made[mode](images)
                torch.cuda.synchronize()
                if number >= 0:
                    seconds[mode].append(time.perf_counter() - started)
    found = {mode: statistics.median(each) * 1e3 / batch for mode, each in seconds.items()}
    return [
        Figure(
            title,
            "ms a picture",
            ours=found[mode],
            peers={"sequential": found["sequential"]},
            ratio=found[mode] / found["sequential"],
            ratio_of="ours / sequential",
            note="float32",
        )
        for mode, title in titles.items()
    ]

"""The infer bench runs and says what it must."""

import torch

from bandwise.bench import infer
from bandwise.bench.options import Options


def test_every_promise_has_a_figure(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = {figure.name: figure for figure in infer.measure(Options("none", True, tmp_path))}
    finally:
        torch.set_num_threads(threads)
    promised = figures["infer/batch 2/sequential over sum of the networks"]
    assert promised.reach is not None
    assert (promised.reach.op, promised.reach.value) == ("<=", 1.05)
    assert promised.ratio
    lean, stacked = (figures[f"infer/batch 2/memory, {mode}"] for mode in ("sequential", "stacked"))
    peers = [value for value in lean.peers.values() if value]
    assert lean.ours
    assert stacked.ours
    assert lean.ours < sum(peers) < stacked.ours
    if not torch.cuda.is_available():
        assert figures["infer/batch 2/stacked/accelerator"].ratio is None


def test_the_ensembles_of_the_bench_answer_alike():
    images = torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8)
    with torch.inference_mode():
        plain, stacked = (infer.ensemble(mode)(images) for mode in ("sequential", "stacked"))
    torch.testing.assert_close(stacked, plain, rtol=0, atol=1e-4 * plain.abs().max().item())

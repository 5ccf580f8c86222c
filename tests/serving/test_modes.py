"""The ways to run an ensemble: the same answers, and what cannot be stacked is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.serving.test_ensemble import canvases
from torch import nn

from bandwise.bands.module import BandSplit
from bandwise.bands.transform import SubbandTransform
from bandwise.checkpoints.branch import load_branch
from bandwise.errors import UsageError
from bandwise.fusion.combination import Fusion
from bandwise.models.zoo import create_branch, logits_and_features
from bandwise.runs.run import open_run
from bandwise.serving import modes
from bandwise.serving.ensemble import SpectralEnsemble, stored_bands
from bandwise.serving.modes import MODES, StackedNetworks, one_after_the_other, side_by_side

BOUND = 1e-4
"""Of the largest logit: how far stacked results may be from single ones."""


def networks(count: int = 3, **options) -> list[nn.Module]:
    """Some small networks with different weights, and running statistics that matter."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = create_branch("resnet8", num_classes=5, in_channels=3, input_size=16, stem="dense", **options)
        network(torch.randn(8, 3, 16, 16))
        made.append(network.eval().requires_grad_(False))
    return made


def images(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(4, 3, 16, 16, generator=generator) for _ in range(count)]


def logits(network, own):
    return (network(own),)


def test_every_mode_gives_the_logits_of_the_single_networks():
    plain = [network(own) for network, own in zip(networks(), images(), strict=True)]
    sequential = one_after_the_other(networks(), iter(images()), logits)
    stacked = StackedNetworks(networks()).run(iter(images()), logits)
    for expected, (first,), (second,) in zip(plain, sequential, stacked, strict=True):
        assert torch.equal(first, expected)
        assert (second - expected).abs().max() <= BOUND * expected.abs().max()


def test_stacked_features_are_those_of_the_single_networks():
    stacked = StackedNetworks(networks()).run(images(), logits_and_features)
    for network, own, found in zip(networks(), images(), stacked, strict=True):
        for value, expected in zip(found, logits_and_features(network, own), strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=BOUND * expected.abs().max().item())


def test_concurrent_networks_meet_and_give_the_same_bits(monkeypatch):
    """Each of two waits until the other one runs too, which is never where they run in turn."""
    monkeypatch.setattr(modes, "usable_cores", lambda: 2 * torch.get_num_threads())
    meeting = threading.Barrier(2, timeout=30)

    def meet(network, own):
        meeting.wait()
        assert torch.is_inference_mode_enabled()
        return logits(network, own)

    with torch.inference_mode():
        found = side_by_side(networks(2), images(2), meet)
        for network, own, (value,) in zip(networks(2), images(2), found, strict=True):
            assert torch.equal(value, network(own))


def test_threads_keep_the_precision_and_the_gradients_that_were_chosen(monkeypatch):
    monkeypatch.setattr(modes, "usable_cores", lambda: 2 * torch.get_num_threads())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = side_by_side(networks(2), images(2), logits)
        assert [value.dtype for (value,) in found] == [torch.bfloat16] * 2
    asked = images(2)
    asked[0].requires_grad_()
    assert [value.requires_grad for (value,) in side_by_side(networks(2), asked, logits)] == [True, False]
    with torch.no_grad():
        assert not side_by_side(networks(2), asked, logits)[0][0].requires_grad


def test_a_core_less_than_two_networks_need_runs_them_in_turn(monkeypatch):
    monkeypatch.setattr(modes, "usable_cores", lambda: 1)
    names = []

    def record(network, own):
        names.append(threading.current_thread().name)
        return logits(network, own)

    side_by_side(networks(2), images(2), record)
    assert names == [threading.current_thread().name] * 2


def test_different_networks_cannot_be_stacked():
    other = create_branch("resnet8", num_classes=5, in_channels=6, input_size=16, stem="dense").eval()
    with pytest.raises(UsageError, match="needs branches of one architecture; network 2 differs"):
        StackedNetworks([*networks(2), other])


def test_stacked_weights_replace_the_networks_and_move_with_the_ensemble():
    stacked = StackedNetworks(networks(2))
    held = sum(value.numel() for value in stacked.buffers())
    assert held == sum(value.numel() for each in networks(2) for value in (*each.parameters(), *each.buffers()))
    assert all(value.device.type == "meta" for value in stacked.to("meta").buffers())


@pytest.mark.parametrize("mode", MODES)
def test_an_ensemble_answers_alike_in_every_mode(finished, ensemble, mode):
    """Branch 1 of the run has two bands, so the branches that can be stacked are 0 and 2."""
    run = open_run(finished)
    branches = [load_branch(run.branch_folder(branch)) for branch in (0, 2)]
    fusion = Fusion(rule="mean", branches=(0, 2), weights=(0.25, 0.75), temperature=1.3)
    pictures = canvases(finished)
    with torch.inference_mode():
        expected = 0.25 / 1.3 * ensemble.branch_logits(pictures)[0] + 0.75 / 1.3 * ensemble.branch_logits(pictures)[2]
        found = SpectralEnsemble(branches, fusion, mode)(pictures)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=BOUND * expected.abs().max().item())


def test_a_run_is_loaded_in_a_mode(finished, ensemble):
    pictures = canvases(finished)
    with torch.inference_mode():
        concurrent = SpectralEnsemble.from_run(finished, mode="concurrent")
        assert torch.equal(concurrent(pictures), ensemble(pictures))
    with pytest.raises(UsageError, match="needs branches of one architecture"):
        SpectralEnsemble.from_run(finished, mode="stacked")
    with pytest.raises(UsageError, match="mode is 'parallel'; it must be one of sequential, concurrent, stacked"):
        SpectralEnsemble.from_run(finished, mode="parallel")  # type: ignore[reportArgumentType]


def test_equal_weights_with_other_settings_cannot_be_stacked():
    network, other = networks(2)
    convolution = next(module for module in other.modules() if isinstance(module, nn.Conv2d))
    convolution.padding = (3, 3)
    with pytest.raises(UsageError, match="differs from network 0"):
        StackedNetworks([network, other])


@pytest.mark.parametrize(
    ("stride", "kind", "bands"),
    [(2, "dct2d", (3, 0)), (3, "dct1d", (0, 4, 8)), (2, "random", (1,)), (1, "identity", (0,))],
)
def test_bytes_are_split_as_the_convolution_splits_them(stride, kind, bands):
    split = BandSplit(SubbandTransform(stride, kind, 5), bands)
    pictures = torch.randint(0, 256, (3, 3, 30, 24), dtype=torch.uint8)
    expected = split(pictures).unflatten(1, (len(bands), 3))
    for laid_out in (pictures, pictures.contiguous(memory_format=torch.channels_last)):
        found = stored_bands(split, laid_out)
        assert found.dtype == torch.uint8
        assert torch.equal(found.float(), expected)
    assert torch.equal(stored_bands(split, pictures.float()), expected)
    if stride == 1:
        assert stored_bands(split, pictures).data_ptr() == pictures.data_ptr()


def test_threads_have_quantizers_of_their_own():
    """One thread after another splits other bands with the same buffers; two at a time never share them."""
    pictures = torch.randint(0, 256, (8, 3, 36, 36), dtype=torch.uint8)
    splits = [BandSplit(SubbandTransform(stride, kind, 5)) for stride, kind in ((2, "dct2d"), (3, "dct1d"))]
    expected = [stored_bands(split, pictures) for split in splits]
    assert all(torch.equal(stored_bands(split, pictures), own) for split, own in zip(splits, expected, strict=True))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: stored_bands(splits[number % 2], pictures), range(24)))
    assert all(torch.equal(own, expected[number % 2]) for number, own in enumerate(found))

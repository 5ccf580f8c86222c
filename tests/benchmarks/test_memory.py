"""The memory bench: the formula against real steps, and the counting itself against tensors of known size."""

import pytest
import torch
from benchmarks import memory
from benchmarks.accelerator import largest
from benchmarks.figures import Options
from benchmarks.memory import peak_live_bytes


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    found = memory.measure(Options("none", True, tmp_path_factory.mktemp("memory")))
    return {figure.name: figure for figure in found}


def test_the_lean_branch_keeps_its_promises_by_the_formula(figures):
    assert figures["memory/resnet34-sub4-lean/peak"].holds
    assert figures["memory/resnet34-sub4-lean/largest batch"].holds


def test_the_formula_is_what_a_real_step_needs(figures):
    kept = figures["memory/resnet8, 16 px/kept for backward"]
    peak = figures["memory/resnet8, 16 px/peak of a step"]
    assert kept.holds
    assert peak.holds
    assert peak.ours > kept.ours > 1


def test_without_an_accelerator_its_rows_are_empty(figures):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    row = figures["memory/resnet50/peak/accelerator"].to_dict()
    assert (row["ours"], row["ratio"], row["holds"]) == (None, None, None)
    assert row["note"] == "no accelerator here"


def test_live_bytes_are_those_alive_at_one_time():
    def work():
        first = torch.zeros(1000)
        second = first + 1
        del first
        third = second.view(10, 100)
        third += 1
        fourth = torch.ones(500)
        return second, fourth

    assert peak_live_bytes(work) == 2 * 4000
    before = torch.ones(1000, requires_grad=True)
    assert peak_live_bytes(lambda: before.detach().view(10, 100)) == 0
    # exp keeps its result; the gradient of it and that of the argument are alive beside it.
    assert peak_live_bytes(lambda: before.exp().sum().backward()) >= 2 * 4000


@pytest.mark.parametrize("ceiling", [0, 1, 2, 3, 63, 64, 937, 100_000])
def test_bisection_finds_the_largest_number_that_fits(ceiling):
    found = largest(lambda count: count <= ceiling)
    assert found <= ceiling or ceiling < 2
    # Below 2 nothing counts: batch statistics need two images.
    assert found >= ceiling * (1 - 1 / 32) if ceiling >= 2 else found == 0

"""Training times of different machines are never averaged, and each says whose it is."""

from dataclasses import replace

from tests.helpers.results import COST, made_on, made_results
from tools.cost import Machines


def run(processor: str, cpu_s: float | None, *, accelerator: str | None = None):
    cost = replace(COST, cpu_s_sum=cpu_s, wall_s_sum=10.0)
    return made_results("a", 0, 0.5, [0.5], environment=made_on(processor, accelerator), cost=cost)


def test_one_machine_needs_no_letter():
    runs = [run("P", 60.0), run("P", 62.0)]
    machines = Machines({"a": runs})
    assert machines.names == "P, torch 2"
    assert machines.training_time(runs) == "1 min 01 s"


def test_times_of_two_machines_are_apart():
    first, second = [run("Q", 60.0), run("P", 30.0)], [run("P", 62.0)]
    machines = Machines({"a": first, "b": second})
    assert machines.names == "A: P, torch 2; B: Q, torch 2"
    assert machines.training_time(first) == "30.0 s (A), 1 min 00 s (B)"
    assert machines.training_time(second) == "1 min 02 s (A)"


def test_an_accelerator_counts_wall_time_and_a_processor_its_own():
    runs = [run("P", 60.0, accelerator="G")]
    assert Machines({"a": runs}).training_time(runs) == "10.0 s"


def test_a_result_without_its_time_leaves_its_machine_out():
    runs = [run("P", 60.0), run("P", None), run("Q", 30.0)]
    assert Machines({"a": runs}).training_time(runs) == "30.0 s (B)"
    assert Machines({"a": runs[:2]}).training_time(runs[:2]) == ""

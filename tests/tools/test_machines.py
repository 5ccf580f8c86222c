"""Training times of different machines are never averaged, and each says whose it is."""

from tools.machines import letters_of, named, training_time


def run(processor: str, *, accelerator: str | None = None, **cost: float) -> dict:
    hardware = {"processor": processor, "accelerator": accelerator}
    return {"environment": {"hardware": hardware, "versions": {"torch": "2"}}, "cost": cost}


def test_one_machine_needs_no_letter():
    runs = [run("P", cpu_s_sum=60.0), run("P", cpu_s_sum=62.0)]
    letters = letters_of({"a": runs})
    assert named(letters) == "P, torch 2"
    assert training_time(runs, letters) == "1 min 01 s"


def test_times_of_two_machines_stand_apart():
    first, second = [run("Q", cpu_s_sum=60.0), run("P", cpu_s_sum=30.0)], [run("P", cpu_s_sum=62.0)]
    letters = letters_of({"a": first, "b": second})
    assert named(letters) == "A: P, torch 2; B: Q, torch 2"
    assert training_time(first, letters) == "30.0 s (A), 1 min 00 s (B)"
    assert training_time(second, letters) == "1 min 02 s (A)"


def test_an_accelerator_counts_wall_time_and_a_processor_its_own():
    runs = [run("P", accelerator="G", cpu_s_sum=60.0, wall_s_sum=10.0)]
    assert training_time(runs, letters_of({"a": runs})) == "10.0 s"


def test_a_result_without_its_time_leaves_its_machine_out():
    runs = [run("P", cpu_s_sum=60.0), run("P"), run("Q", cpu_s_sum=30.0)]
    assert training_time(runs, letters_of({"a": runs})) == "30.0 s (B)"
    assert training_time(runs[:2], letters_of({"a": runs[:2]})) == ""

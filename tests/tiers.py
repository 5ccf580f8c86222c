"""What `make test` leaves out of everything: further parameters of a test, and tests that take many seconds.

Everything stays in `make test-all`, which CI runs. The rule is about test functions, so a new test is in `make test`
until it is named here: of each function the first parameter set, the last and some between run, `MOST_PARAMETERS` at
most; `PARAMETERS` says another number for a function or a file. Tests that are named on the command line
(`pytest FILE::NAME`) are never left out.
"""

from collections.abc import Iterable, Sequence

MOST_PARAMETERS = 5

ALL = 1_000_000
"""Each parameter set is a case of its own, and cheap."""

SLURM_DAEMONS = tuple(
    f"tests/launch/test_slurm.py::test_{name}"
    for name in (
        "a_branch_that_is_preempted_saves_goes_back_and_ends_with_the_same_bits",
        "a_branch_that_reaches_its_time_limit_saves_and_goes_back",
        "a_cancelled_array_saves_stays_cancelled_and_the_fusion_says_what_is_missing",
        "an_array_of_four_and_the_fusion_after_it",
        "sigterm_during_imports_puts_the_branch_back",
    )
)
"""Each waits for trainings of its own on the daemons of SLURM."""

PARAMETERS: dict[str, int] = {
    # A row of the catalogue of bad inputs each; every other one of those that take longest.
    "tests/bad_inputs/test_collected.py": 8,
    "tests/bad_inputs/test_layout_rows.py": ALL,
    "tests/bad_inputs/test_rows.py": 20,
    "tests/bad_inputs/test_split_rows.py": 20,
    # A command, or a way in which a run is damaged, each.
    "tests/commands/test_help.py": ALL,
    "tests/report/test_view.py": ALL,
    "tests/launch/test_needs.py::test_what_a_run_lacks_is_told_before_a_picture_is_read": ALL,
    # A folder, or a way to load code, each.
    "tests/test_architecture.py": ALL,
    "tests/test_safe_loading.py": ALL,
    # The cases are recorded together, before the first is compared.
    "tests/golden/test_golden.py": ALL,
    # A published row from archives to ten crops takes many seconds.
    "tests/rows/test_plain_networks.py": 0,
    "tests/rows/test_resnets.py": 0,
    # Each takes five to thirty seconds of CPU; what they hold is held by others of their file at a smaller size.
    "tests/benchmarks/test_benches_run.py::test_smallest": 1,
    "tests/benchmarks/test_scale.py::test_memory_is_what_the_function_took": 0,
    "tests/benchmarks/test_machine.py::test_every_part_keeps_what_it_found_up_to_its_limit": 0,
    "tests/commands/test_split.py::test_what_is_named_next_trains": 1,
    # An export to ONNX each.
    "tests/export/test_graph.py::test_every_network_exports": 1,
    "tests/export/test_graph.py::test_other_inputs_and_splits": 0,
    "tests/export/test_graph.py::test_branches_are_switched_off_as_by_the_fusion": 1,
    "tests/export/test_page.py::test_more_pixels_than_the_split_takes_are_refused": 0,
    "tests/export/test_page.py::test_what_it_refuses_and_what_it_takes": 0,
    "tests/export/test_page.py::test_the_resize_has_the_bytes_of_pillow": 0,
    "tests/export/test_photographs.py": 0,
    "tests/fusion/test_bounded.py::test_memory_is_that_of_some_blocks": 0,
    "tests/launch/test_collect.py::test_three_machines_give_the_fusion_of_one": 0,
    "tests/launch/test_initial_branch.py::test_several_at_once_wait_for_the_source_and_have_the_same_bits": 0,
    "tests/launch/test_launcher_death.py::test_branches_save_and_stop_and_a_rerun_ends_with_the_same_bits": 0,
    "tests/launch/test_machines.py::test_what_is_written_runs": 0,
    "tests/launch/test_modules.py": 0,
    "tests/launch/test_isolation.py::test_a_split_prints_and_stores_nothing_that_names_a_machine": 1,
    **dict.fromkeys(SLURM_DAEMONS, 0),
    "tests/launch/test_moved_store.py::test_a_branch_goes_on_from_a_moved_store_in_a_process_of_its_own": 0,
    "tests/launch/test_train_command.py::test_other_threads_are_accepted_and_said": 1,
    "tests/launch/test_train_command.py::test_initial_weights_that_were_moved_reach_every_branch": 0,
    "tests/sources/test_multiband.py::test_from_the_folder_to_the_prediction": 1,
    "tests/sources/test_named_network.py::test_cifar10": 0,
    "tests/sources/test_named_network.py::test_a_set_that_is_there_needs_no_network": 2,
    "tests/store/test_store_verify.py::test_damage_is_named_and_repaired_to_the_same_bytes": 3,
    "tests/faults/test_byte_flips.py::test_without_checksums_bits_flip_silently": 1,
    "tests/faults/test_canaries.py::test_nothing_that_is_loaded_runs": 1,
    "tests/faults/test_byte_flips.py::test_every_flipped_bit_is_found_and_named": 3,
    "tests/faults/test_fuzz.py::test_only_documented_errors": 4,
    "tests/faults/test_injection.py": 3,
    "tests/faults/test_injection.py::test_the_points_notice_a_broken_line": 1,
    "tests/faults/test_ray.py::test_whatever_is_lost_the_bits_are_the_same": 0,
    "tests/faults/test_ray.py::test_a_cluster_for_one_call_is_of_this_machine_alone": 0,
    "tests/faults/test_kills.py::test_killed_at_random_times_it_ends_with_the_same_bytes": 0,
    "tests/faults/test_kills.py::test_with_workers_and_a_rival_for_the_folder": 0,
    "tests/store/test_interruptions.py::test_a_stop_reaches_the_workers": 0,
    "tests/store/test_store_resume.py::test_a_source_that_was_renamed_is_the_same": 0,
    "tests/store/test_workers.py::test_a_process_that_is_always_killed_is_an_error_not_a_bad_picture": 0,
    "tests/store/test_workers.py::test_the_result_depends_on_the_pictures_alone": 0,
    "tests/store/test_workers.py::test_what_happens_once_leaves_no_trace": 1,
    "tests/commands/test_help.py::test_every_example_runs": 0,
    "tests/test_end_to_end.py::test_branches_at_once_equal_branches_in_turn": 0,
    "tests/test_torchvision_compat.py::test_every_module_imports_in_a_fresh_process_and_timm_after_them": 0,
    "tests/test_torchvision_compat.py::test_networks_work_without_torchvision": 0,
    "tests/training/test_image_mode.py::test_an_image_that_has_become_unreadable_is_named": 1,
    "tests/training/test_image_mode.py::test_any_number_of_processes_makes_the_same_batches": 0,
    "tests/training/test_image_resume.py::test_killed_with_processes_and_continued_with_others": 0,
    "tests/training/test_image_resume.py::test_a_signal_to_all_processes_of_a_job_loses_nothing": 0,
    # What is tested at every stride and transform.
    "tests/bands/": 4,
}

FILES_ONLY_IN_FULL = {
    "tests/faults/test_ray.py",
    "tests/export/test_photographs.py",
    "tests/launch/test_modules.py",
    "tests/rows/test_plain_networks.py",
    "tests/rows/test_resnets.py",
}
"""Files of which nothing is in `make test`: trainings on photographs, a run that is traced, published rows."""

PROMISES_ONLY_IN_FULL = {
    "tests/launch/test_collect.py::test_three_machines_give_the_fusion_of_one",
    "tests/faults/test_ray.py::test_whatever_is_lost_the_bits_are_the_same",
    *SLURM_DAEMONS,
    "tests/test_end_to_end.py::test_branches_at_once_equal_branches_in_turn",
    "tests/launch/test_launcher_death.py::test_branches_save_and_stop_and_a_rerun_ends_with_the_same_bits",
    "tests/faults/test_kills.py::test_killed_at_random_times_it_ends_with_the_same_bytes",
    "tests/faults/test_kills.py::test_with_workers_and_a_rival_for_the_folder",
    "tests/launch/test_initial_branch.py::test_several_at_once_wait_for_the_source_and_have_the_same_bits",
}
"""Tests of docs/promises.md that take too long for `make test`; each promise has others in it."""


def _parameters(function: str) -> int:
    """Return how many parameter sets of `FILE::NAME` run; a name counts before its file, and that before its folder."""
    file = function.partition("::")[0]
    for key in (function, file, file[: file.rindex("/") + 1]):
        if key in PARAMETERS:
            return PARAMETERS[key]
    return MOST_PARAMETERS


def spread(count: int, wanted: int) -> set[int]:
    """Return `wanted` of the numbers below `count`, evenly spread, the first and the last among them."""
    if wanted >= count:
        return set(range(count))
    return {round(number * (count - 1) / max(wanted - 1, 1)) for number in range(wanted)}


def left_out(nodes: Sequence[str]) -> set[str]:
    """Return the ids of the tests that only `make test-all` runs."""
    functions: dict[str, list[str]] = {}
    for node in nodes:
        functions.setdefault(node.partition("[")[0], []).append(node)
    return {node for function, cases in functions.items() for node in _beyond(cases, _parameters(function))}


def _beyond(cases: Sequence[str], wanted: int) -> Iterable[str]:
    kept = spread(len(cases), wanted)
    return (case for index, case in enumerate(cases) if index not in kept)

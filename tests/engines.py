"""The tests that depend on the kind of engine: `make test-engines` runs these alone, which takes at most eight minutes.

An entry names a file, a test in it, or one of a test's cases.
"""

NAMED = (
    "tests/engine/test_boxes.py",
    "tests/engine/test_experiments.py::test_memory_of_a_process_and_of_a_container",
    "tests/engine/test_experiments.py::test_the_meter_in_a_container_reads_what_the_meter_here_reads",
    "tests/engine/test_experiments.py::test_ten_containers_take_the_disk_of_one_and_a_machine_its_kernel_more",
    "tests/engine/test_experiments.py::test_layers_are_counted_once_and_shrink_when_they_travel",
    "tests/engine/test_experiments.py::test_layers_of_an_image_that_is_not_there",
    "tests/engine/test_experiments.py::test_a_dockerfile_that_does_not_build_is_named_and_leaves_nothing",
    "tests/engine/test_experiments.py::test_an_edit_runs_less_again_where_the_order_is_right",
    "tests/engine/test_experiments.py::test_a_container_is_killed_held_back_and_refused_and_uses_no_less_for_a_lower_limit",
    "tests/engine/test_experiments.py::test_every_layer_runs_the_same_program_and_leaves_nothing[containerd]",
    "tests/engine/test_experiments.py::test_phases_by_the_kernels_events_are_in_order",
    "tests/vm/test_vms.py::test_a_vm_runs_the_containers_files_on_a_kernel_of_its_own[microvm-True]",
    "tests/labs/test_engine_faults.py",
    "tests/labs/test_sandbox.py::test_its_files_are_a_copy_that_no_other_program_sees",
    "tests/labs/test_all_labs.py::test_the_lab_is_proven[08-size]",
)


def named(test: str) -> bool:
    """Whether a test is one of them."""
    return any(test == name or test.startswith((f"{name}::", f"{name}[")) for name in NAMED)

import copy

import pretended_run as runs
import pytest

from boxlab import comparison, plots, records
from boxlab.errors import RecordError


def slower(factor, **changes):
    run = runs.run(**changes)
    for index, sample in enumerate(run.samples):
        sample.values["seconds"] *= factor * (1 + 0.002 * (index % 3))
    return run


def test_a_difference_is_stated_with_its_interval():
    table = comparison.table(runs.run(), slower(1.5))
    assert table.loc["container", "differ"] == "yes, at 95%"
    assert table.loc["container", "B / A"].startswith("1.5 (")


def test_few_samples_show_no_difference_whatever_they_say():
    assert set(comparison.table(runs.run(rounds=2), slower(3, rounds=2))["differ"]) == {comparison.TOO_FEW}


def test_what_is_alike_is_not_said_to_differ():
    assert set(comparison.table(runs.run(), runs.run())["differ"]) == {"not shown"}


def test_kvm_and_tcg_may_be_compared_and_are_named():
    a, b = runs.run(emulated=True), runs.run(emulated=False)
    assert "microVM (TCG) / microVM" in comparison.table(a, b).index
    assert any("software emulation (TCG) in A and by KVM in B" in said for said in comparison.differences(a, b))


def test_what_else_differs_is_said():
    b = runs.run()
    b.provenance = copy.deepcopy(b.provenance)
    b.provenance["host"]["cpu"] = "Another processor"
    b.plan["files_sha256"], b.profile, b.complete = "1" * 64, "paper", False
    said = "; ".join(comparison.differences(runs.run(), b))
    for word in ("machines differ", "other files", "profile quick in A and paper in B", "B was interrupted"):
        assert word in said
    assert comparison.differences(runs.run(), runs.run()) == []


def test_what_an_arm_was_in_one_record_and_not_in_the_other_is_said():
    a, b = runs.run(), runs.run()
    for run, network, signals, own in ((a, "none", ["TERM"], False), (b, "bridge", ["INT"], True)):
        for arm in run.plan["arms"]:
            arm["details"] = arm["details"] | {"network": network, "pids": None, "user_namespace": own}
        run.arm("microvm")["details"] |= {"command": signals, "boxes": int(own), "cpus": 1}
        run.provenance = copy.deepcopy(run.provenance)
        run.provenance["engine"]["default_runtime"] = "crun" if own else "runc"
    b.arm("microvm")["details"]["accelerator"] |= {"boot_s": 3.0}
    b.arm("microvm")["details"]["qemu"] = "7.2"  # which A does not say
    assert comparison.differences(a, b) == [
        "microVM: boxes 0 in A and 1 in B",
        "microVM: QEMU's command is another in B",
        "container, microVM: network none in A and bridge in B",
        "container, microVM: user namespace no in A and yes in B",
        "the engine's runtime was runc in A and crun in B",
    ]


def test_what_was_read_from_a_container_is_said():
    a, b = runs.levels(), runs.levels()
    for run, reader in ((a, "process"), (b, "container")):
        for arm in run.plan["arms"]:
            arm["details"] = arm["details"] | {"read_by": reader}
    assert comparison.differences(a, b) == ["container, microVM: memory read by process in A and container in B"]
    assert "memory read by a container" not in plots.density(a).caption
    assert "memory read by a container" in plots.density(b).caption


def another_experiment(run):
    run.experiment = "memory"


def another_workload(run):
    run.plan["workload"]["memory_mib"] = 512


def other_arms(run):
    for arm in run.plan["arms"]:
        arm["kind"] = "other-" + arm["kind"]
    for sample in run.samples:
        sample.arm = "other-" + sample.arm


def another_metric(run):
    run.plan["metrics"] = {"pss": {"unit": "B"}}


def another_unit(run):
    run.plan["metrics"] = {"seconds": {"unit": "1"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_experiment, "A is a record of startup and B of memory"),
        (another_workload, "memory_mib was 256 in A and 512 in B"),
        (other_arms, "no arm in common"),
        (another_metric, "measured different things"),
        (another_unit, "seconds in s and seconds in 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(change, message):
    b = runs.run()
    change(b)
    with pytest.raises(RecordError, match=message) as caught:
        comparison.table(runs.run(), b)
    assert caught.value.fix and len(str(caught.value).splitlines()) == 2


def test_slopes_are_compared_where_there_are_levels():
    table = comparison.table(runs.levels(), runs.levels(factor=2))
    assert table.loc["container", "B / A"] == "2.0"
    assert table.loc["container", "differ"] == "yes: the intervals are apart"


def test_the_plot_shows_both_and_names_emulation():
    plot = plots.compare(runs.run(emulated=True), runs.run(emulated=False))
    assert "A: microVM, emulated" in plot.svg and "B: microVM" in plot.svg
    assert plot.caption.count("n = 6") == 2
    assert plot.standalone().startswith("<svg ") and "<title>Two records" in plot.standalone()


def test_a_record_of_version_1_stands_beside_a_new_one():
    old = records.load(records.paths.ROOT / "tests" / "recorded" / "startup-version-1.json")
    assert len(comparison.table(old, old)) == len(old.arms)

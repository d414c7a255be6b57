"""Levels, failures and the arms' clean-up, on an experiment that only pretends."""

import itertools
import os
import signal
from importlib import import_module
from types import SimpleNamespace

import command
import pytest

from boxlab import images, paths, progress, prose, provenance, runtimes, turns
from boxlab.errors import BoxlabError, BuildError, NotReady, Unavailable
from boxlab.experiments import blocks
from boxlab.interrupts import deferred
from boxlab.runtimes import MicroVM, Workload, accelerator

limits = import_module("boxlab.experiments.limits")

ARMS = [{"kind": kind, "emulated": False, "phases": {}, "details": {}} for kind in ("a", "b")]
METRICS = {"seen": {"unit": "1"}}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "collect", lambda: {"host": {}, "engine": {}, "images": {}, "code": {}})
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")


def run(measure=lambda run, sample: sample.values.update(seen=sample.level or 0), **options):
    return blocks.run("density", ARMS, measure, metrics=METRICS, measures="nothing", **options)


def test_every_arm_is_measured_at_every_level_in_an_order_of_its_own():
    result = run(levels=[0, 1, 2, 4, 8], rounds=6, seed=3)
    for _, block in itertools.groupby(result.samples, key=lambda s: s.round):
        for _, part in itertools.groupby(block, key=lambda s: s.arm):
            assert sorted(s.level for s in part) == [0, 1, 2, 4, 8]
    orders = {tuple(s.level for s in result.samples if s.arm == arm and s.round == n) for arm in "ab" for n in range(7)}
    assert len(orders) > 5
    assert [f"{s.arm} {s.level}" for s in result.samples if s.round == 2] == result.plan["order"][2]


def test_a_round_before_is_run_and_counts_and_is_not_among_those_that_a_caption_says(monkeypatch):
    result = run(rounds=3, warm_up=0, before=1)
    assert [(s.arm, s.round) for s in result.samples if s.counts and s.arm == "a"] == [("a", n) for n in range(4)]
    assert (result.plan["rounds"], result.plan["rounds_before"]) == (3, 1)
    monkeypatch.setattr(provenance, "in_words", lambda facts: "here")
    assert prose.caption(result).startswith("n = 3 rounds (")
    assert "rounds_before" not in run(rounds=3, warm_up=0).plan


def test_an_arm_may_have_fewer_levels():
    result = run(levels=[1, 2, 4], most={"b": 2}, rounds=1, warm_up=0)
    levels = {arm: sorted(s.level for s in result.samples if s.arm == arm) for arm in "ab"}
    assert levels == {"a": [1, 2, 4], "b": [1, 2]}


def test_an_arms_part_is_cleaned_up_after_success_failure_and_interruption():
    cleaned = []

    def stop_at(error):
        def measure(run, sample):
            if sample.level == 4:
                raise error

        return measure

    run(levels=[1, 2], rounds=1, warm_up=0, after_arm=lambda: cleaned.append(1))
    assert len(cleaned) == 2
    failed = run(stop_at(NotReady("full")), levels=[4], rounds=1, warm_up=0, after_arm=lambda: cleaned.append(1))
    assert len(cleaned) == 4 and failed.failures("a") == ["full"]
    with pytest.raises(KeyboardInterrupt):
        run(stop_at(KeyboardInterrupt()), levels=[4], rounds=1, warm_up=0, after_arm=lambda: cleaned.append(1))
    assert len(cleaned) == 5


def test_a_failure_keeps_no_value_of_the_main_metric():
    def half(run, sample):
        sample.values["seen"] = 1
        raise NotReady("then it hung")

    assert run(half, rounds=1).kept("a") == {}


@pytest.mark.parametrize("rounds", [0, -1])
def test_rounds_must_be_positive(rounds):
    with pytest.raises(BoxlabError, match="cannot be measured"):
        run(rounds=rounds)


def test_an_interrupt_that_was_held_back_ends_the_run_also_where_the_box_was_not_ready():
    def measure(run, sample):
        with deferred():
            signal.raise_signal(signal.SIGINT)
            raise NotReady("it did not start")

    with pytest.raises(KeyboardInterrupt):
        run(measure, levels=[1], rounds=1)


def test_who_measures_has_the_turn():
    seen = []
    run(lambda run, sample: seen.append(os.environ[turns.HELD]), levels=[1], rounds=1)
    assert set(seen) == {"measuring"}


class Plain:
    kind, label, phases = "plain", "a box", {}

    def prepare(self, workload):
        pass


class Lacking:
    kind, label, phases = "vm", "a machine", {"ready": "all"}
    asked = 0

    def prepare(self, workload):
        Lacking.asked += 1
        raise NotReady("QEMU's version did not come within 60 s", hung=True)


def test_what_is_prepared_is_said_and_what_cannot_be_is_left_out_with_the_reason(capfd, monkeypatch):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    with pytest.raises(Unavailable, match="nothing to measure: vm: QEMU's version did not come"):
        blocks.prepared([Lacking()], Workload())
    assert capfd.readouterr().err == "preparing: a machine\n"


def test_a_machine_whose_own_image_does_not_build_is_left_out(monkeypatch):
    """As where Debian's packages cannot be reached."""

    def ensure(name):
        if name == "vm-kit":
            raise BuildError("no packages", "is the network there?")
        return SimpleNamespace(name=name)

    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setattr(accelerator, "choose", lambda: SimpleNamespace(boot_s=None, name="tcg"))
    monkeypatch.setattr(runtimes, "ALL", (MicroVM,))
    said = "no packages\n  fix: is the network there?"
    ready, left_out = blocks.prepared([Plain(), MicroVM()], Workload())
    assert list(ready) == ["plain"] and left_out["microvm"]["reason"] == said
    with runtimes.started({"a": MicroVM()}) as boxes:
        assert boxes.left_out == {"a": said}
    prepared = command.boxlab("prepare")
    assert prepared.exit_code == 0 and f"left out here: microVM: {said}" in prepared.output


def test_limits_say_what_they_prepare_and_do_not_begin_with_nothing(capfd, monkeypatch):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    wanted = [limits.Trial(kind, Lacking(), Workload(), None) for kind in ("rest-64", "rest-256")]
    with pytest.raises(Unavailable, match="nothing to measure: rest-64: .*; rest-256: "):
        limits.limits(wanted)
    assert (
        capfd.readouterr().err
        == "preparing: container at rest, limit 64 MiB\npreparing: container at rest, limit 256 MiB\n"
    )

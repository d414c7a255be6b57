"""The experiment on boxes that only pretend: order, discarded round, failures, interruption."""

import itertools
from types import SimpleNamespace

import pytest

from boxlab import experiments, paths, profiles, provenance, records
from boxlab.errors import BoxlabError, NotReady, Unavailable
from boxlab.runtimes import Observation, Runtime


class Pretended(Runtime):
    label = "pretended"
    phases = {"ready": "all of it"}
    files = "same"
    silent = False

    def __init__(self, kind, fails=(), interrupts=None):
        self.kind, self.fails, self.interrupts = kind, set(fails), interrupts
        self.starts, self.stops = 0, 0

    def prepare(self, workload):
        pass

    def _spawn(self, workload):
        raise NotImplementedError

    def start(self, workload):
        self.starts += 1
        if self.starts == self.interrupts:
            raise KeyboardInterrupt
        if self.starts in self.fails:
            raise NotReady("it hung")
        return PretendedBox(self)


class PretendedBox:
    def __init__(self, runtime):
        self.runtime, self.marks, self.stopped = runtime, {"ready": 0.5}, False
        self.console = SimpleNamespace(t0=0.0)

    def observe(self):
        if self.runtime.silent:
            raise NotReady("silent")
        return Observation({"files_sha256": self.runtime.files}, [])

    def stop(self):
        if not self.stopped:
            self.runtime.stops += 1
        self.stopped = True
        return 0.01

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.fixture(autouse=True)
def no_engine(monkeypatch, tmp_path):
    facts = {"host": {}, "engine": {}, "images": {}, "code": {}}
    monkeypatch.setattr(provenance, "collect", lambda: facts)
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")


def test_every_round_starts_each_box_once_in_an_order_of_its_own():
    run = experiments.startup([Pretended("a"), Pretended("b"), Pretended("c")], rounds=30, seed=5)
    blocks = [[s.arm for s in group] for _, group in itertools.groupby(run.samples, key=lambda s: s.round)]
    assert all(sorted(block) == ["a", "b", "c"] for block in blocks)
    assert len({tuple(block) for block in blocks}) == 6
    assert blocks == run.plan["order"]
    assert [s.position for s in run.samples[:3]] == [0, 1, 2]


def test_the_seed_decides_the_order_and_is_recorded():
    first, again = (experiments.startup([Pretended("a"), Pretended("b")], rounds=8, seed=11) for _ in range(2))
    assert first.plan["order"] == again.plan["order"]
    assert first.plan["seed"] == 11


def test_the_first_round_is_recorded_and_not_counted():
    run = experiments.startup([Pretended("a")], rounds=3)
    assert [s.discarded for s in run.samples] == [True, False, False, False]
    assert len(run.kept("a")) == 3


def test_a_failed_start_is_counted_and_the_run_goes_on():
    run = experiments.startup([Pretended("a", fails={2}), Pretended("b")], rounds=3)
    assert run.failures("a") == ["it hung"]
    assert len(run.kept("a")) == 2 and len(run.kept("b")) == 3
    assert run.complete


def test_a_box_that_is_ready_and_then_says_nothing_is_a_failure_too():
    box = Pretended("a")
    box.silent = True
    run = experiments.startup([box, Pretended("b")], rounds=2)
    assert run.failures("a") == ["silent"] * 3 and run.kept("a") == {}
    assert len(run.kept("b")) == 2 and box.stops == box.starts


def test_an_arm_named_twice_is_refused():
    with pytest.raises(BoxlabError, match="named twice"):
        experiments.startup([Pretended("a"), Pretended("a")], rounds=1)


def test_every_box_is_stopped():
    box = Pretended("a")
    experiments.startup([box], rounds=4)
    assert box.stops == box.starts == 5


def test_interrupted_what_was_measured_is_saved():
    with pytest.raises(KeyboardInterrupt):
        experiments.startup([Pretended("a", interrupts=4)], rounds=9, save_as="half")
    run = records.load(paths.RESULTS / "half.local.json")
    assert not run.complete
    assert len(run.samples) == 3


def test_boxes_with_other_files_are_not_compared():
    other = Pretended("b")
    other.files = "other"
    with pytest.raises(BoxlabError, match="ran other files"):
        experiments.startup([Pretended("a"), other], rounds=2)
    assert other.stops == other.starts


def test_a_box_that_cannot_run_here_is_left_out_and_the_reason_kept():
    lacking = Pretended("b")
    lacking.prepare = lambda workload: (_ for _ in ()).throw(Unavailable("no QEMU"))
    run = experiments.startup([Pretended("a"), lacking], rounds=1)
    assert run.plan["left_out"] == {"b": {"reason": "no QEMU", "phases": ["ready"]}}
    assert run.arms == ["a"]


def test_nothing_to_measure_is_an_error():
    with pytest.raises(Unavailable, match="nothing to measure"):
        experiments.startup([], rounds=1)


@pytest.mark.parametrize("rounds", [0, -3])
def test_rounds_must_be_positive(rounds):
    with pytest.raises(BoxlabError, match="cannot be measured"):
        experiments.startup([Pretended("a")], rounds=rounds)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(BoxlabError, match="one of: process, container, restored-vm, microvm, full-vm"):
        experiments.startup(["jail"], rounds=1)
    with pytest.raises(BoxlabError, match="one of: quick, class, paper"):
        experiments.startup([Pretended("a")], profile="fast")


def test_the_profile_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(profiles.VARIABLE, "quick")
    assert experiments.startup([Pretended("a")]).plan["rounds"] == profiles.ALL["quick"].rounds
    monkeypatch.delenv(profiles.VARIABLE)
    assert profiles.named().name == "class"

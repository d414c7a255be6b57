"""What experiments lay beside what they measure, on an engine that is only pretended."""

import importlib
import signal
import threading
import zlib
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from boxlab import engine, meter, provenance, waiting
from boxlab.errors import EngineError, NotReady, Unavailable
from boxlab.experiments import blocks
from boxlab.runtimes import Container, MicroVM

# The package has the functions of these names.
density, isolation, learning, reach, scale, storage, transfer, waits = (
    importlib.import_module(f"boxlab.experiments.{name}")
    for name in ("density", "isolation", "learning", "reach", "scale", "storage", "transfer", "waits")
)


@pytest.fixture
def no_provenance(monkeypatch):
    monkeypatch.setattr(provenance, "collect", lambda: {"host": {}, "engine": {}, "images": {}, "code": {}})


class Networks:
    """Those of an engine: what is there, and whether we are told to end while one is made."""

    def __init__(self):
        self.there, self.interrupted, self.config = [], False, []

    def create(self, name, labels):
        network = SimpleNamespace(
            name=name,
            attrs={"IPAM": {"Config": self.config}},
            reload=lambda: None,
            remove=lambda: self.there.remove(network),
        )
        self.there.append(network)
        if self.interrupted:
            signal.raise_signal(signal.SIGINT)
        return network


@pytest.fixture
def networks(monkeypatch):
    made = Networks()
    monkeypatch.setattr(reach.engine, "connect", lambda: SimpleNamespace(networks=made))
    monkeypatch.setattr(transfer.images, "ensure", lambda name: SimpleNamespace(tag=name))
    return made


def test_of_a_network_with_addresses_of_both_versions_the_host_is_asked_at_its_ipv4(networks):
    networks.config = [
        {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1"},
        {"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"},
    ]
    with reach._network() as (_name, gateway):
        assert gateway == "172.19.0.1" and networks.there
    assert networks.there == []


@pytest.mark.parametrize("opened", [reach._network, transfer._registry], ids=["reach", "transfer"])
def test_a_network_that_comes_to_be_as_we_are_told_to_end_does_not_stay(networks, opened):
    networks.interrupted = True
    with pytest.raises(KeyboardInterrupt), opened():
        pytest.fail("it was opened")
    assert networks.there == []


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "has gone"])
def test_a_way_that_the_engine_refuses_has_failures_and_one_that_has_gone_ends_the_run(
    networks, monkeypatch, no_provenance, answers
):
    """Docker Desktop's does not start a container whose port is to be at an address that only its machine has."""
    networks.config = [{"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"}]
    refusal, gone = EngineError("cannot assign requested address"), EngineError("no engine answers")

    def asked(_image, kind, _network, _gateway):
        if kind == "address":
            raise refusal
        return dict.fromkeys(reach.METRICS, 1.0)

    def ping():
        if not answers:
            raise gone

    monkeypatch.setattr(reach, "_asked", asked)
    monkeypatch.setattr(reach.engine, "ping", ping)
    if not answers:
        with pytest.raises(EngineError) as caught:
            reach.reach(rounds=1)
        assert caught.value is gone
        return
    record = reach.reach(rounds=1)
    assert set(record.failures("address")) == {str(refusal)} and not record.kept("address")
    assert all(record.kept(kind) for kind in reach.ARMS if kind != "address")


@pytest.mark.parametrize("name", ["memory", "density", "isolation", "limits"])
def test_whatever_reads_memory_says_what_read_it(monkeypatch, name):
    module, planned = importlib.import_module(f"boxlab.experiments.{name}"), []
    monkeypatch.setattr(meter, "open_meter", lambda: nullcontext(meter.Meter(None)))
    monkeypatch.setattr(blocks, "prepared", lambda *_arguments: ({"container": Container()}, {}))
    monkeypatch.setattr(blocks, "lack", lambda *_arguments: "")
    monkeypatch.setattr(blocks, "run", lambda _name, arms, *_arguments, **_options: planned.extend(arms))
    monkeypatch.setattr(MicroVM, "details", lambda _self: {"accelerator": {"name": "kvm"}})
    monkeypatch.setattr(engine, "require_limits", lambda *_names: None)
    getattr(module, name)()
    assert planned and {arm["details"]["read_by"] for arm in planned} == {"process"}


def test_the_first_run_of_an_image_is_not_counted(monkeypatch, no_provenance, tmp_path):
    done = []

    def ran(_tag):
        done.append("run")
        return "42", float(len(done))

    monkeypatch.setattr(learning, "_beneath", tuple)
    monkeypatch.setattr(learning, "_above", lambda _beneath: [])
    monkeypatch.setattr(learning, "_build", lambda _folder, _kind: done.append("build"))
    monkeypatch.setattr(learning, "_ran", ran)
    monkeypatch.setattr(learning, "workplace", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(learning.builder, "chosen", lambda: "a builder")
    record = learning.learning(rounds=1)
    arms = len(learning.ARMS)
    assert done == ["build"] * arms + ["run"] * (1 + arms)
    times = [sample.values["run"] for sample in record.samples if "run" in sample.values]
    assert times == [arms + 2 + n for n in range(arms)]


@pytest.mark.parametrize("fails", [False, True])
def test_the_first_replica_of_each_kind_is_not_counted(monkeypatch, no_provenance, fails):
    asked = []

    def up_and_down(runtime, _workload, count):
        asked.append((runtime, count))
        if fails and len(asked) == 1:
            raise NotReady("it hung")
        return {"up": 1.0, "down": 1.0}

    plan = {"emulated": False, "phases": {}, "details": {}}
    monkeypatch.setattr(scale.blocks, "prepared", lambda arms, _workload: ({kind: kind for kind in arms}, {}))
    monkeypatch.setattr(scale.blocks, "plan_of", lambda kind: {"kind": kind} | plan)
    monkeypatch.setattr(scale, "up_and_down", up_and_down)
    record = scale.scale(["process", "microvm"], levels=[2, 4], rounds=2)
    first = {kind: next(count for runtime, count in asked if runtime == kind) for kind in record.arms}
    assert first == {"process": 1, "microvm": 1} and len(asked) == 2 + len(record.samples)
    assert len(record.samples) == 8 and not any(sample.error for sample in record.samples)


def test_a_loop_that_was_held_up_is_not_taken_for_long_enough(monkeypatch):
    clock, asked = [0.0], []

    def ask(line):
        asked.append(int(line.split()[-1]))
        held_up = len(asked) == 1
        clock[0] += asked[-1] * 1e-6 + (1.0 if held_up else 0.0)

    monkeypatch.setattr(isolation.time, "monotonic", lambda: clock[0])
    assert isolation._per_round(SimpleNamespace(ask=ask), "stat") == pytest.approx(1e-6)
    assert max(asked) * 1e-6 >= isolation.LOOP_S


def test_the_file_of_a_bind_mount_is_no_easier_to_keep_than_that_of_the_image(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "FILE_MIB", 1)
    (tmp_path / "new").touch()
    storage._fill(tmp_path)
    [file] = tmp_path.iterdir()
    assert len(zlib.compress(file.read_bytes())) > 1 << 20


@pytest.mark.parametrize("refused", [EngineError, NotReady])
def test_where_the_engine_does_not_see_our_folders_it_is_said_why(monkeypatch, tmp_path, refused):
    """It refuses to mount one, or mounts an empty one of its own."""
    stopped = []

    def start(*_arguments, **_options):
        if refused is EngineError:
            raise EngineError("no such folder", "share it")
        return SimpleNamespace(
            read=lambda timeout_s: b"", exit_reason=lambda: "exit status 0", stop=lambda grace_s: stopped.append(1)
        )

    monkeypatch.setattr(storage, "EngineContainer", start)
    reason = storage._unseen("image", tmp_path)
    assert ("no such folder" if refused is EngineError else "it ended before 'seen'") in reason and "fix" not in reason
    assert len(stopped) == (refused is NotReady) and list(tmp_path.iterdir()) == []


def test_boxes_that_have_started_do_not_stay_where_no_further_thread_is_allowed(monkeypatch):
    refused, start, there, threads = threading.Event(), threading.Thread.start, [], []

    class Box:
        def __init__(self):
            there.append(self)

        def stop(self):
            there.remove(self)

    def begin(_workload):
        assert refused.wait(waiting.HANG_S)
        return Box()

    def only_one(thread):
        if threads:
            refused.set()
            raise RuntimeError("can't start new thread")
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", only_one)
    with pytest.raises(RuntimeError, match="new thread"):
        density.start_at_once(SimpleNamespace(start=begin), None, 3)
    assert there == []


def test_what_waits_has_brought_up_goes_also_where_a_second_interrupt_comes(monkeypatch, tmp_path):
    taken_down = []

    def docker(*words):
        if "up" in words:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)
        taken_down.append("down" in words)

    monkeypatch.setattr(waits.paths, "SCRATCH", tmp_path)
    monkeypatch.setattr(waits.engine, "docker_command", docker)
    with pytest.raises(KeyboardInterrupt):
        waits._started({}, wait=False)
    assert taken_down == [True] and list(tmp_path.iterdir()) == []


def test_a_service_is_asked_at_this_machine_only_where_the_engine_is_on_it(monkeypatch):
    monkeypatch.setattr(waits.engine, "connect", lambda: None)
    monkeypatch.setattr(waits.engine, "host", lambda: "ssh://me@server")
    monkeypatch.setattr(waits.engine, "docker_command", lambda *_: pytest.fail("it began"))
    with pytest.raises(Unavailable, match=r"ssh://me@server"):
        waits.waits()

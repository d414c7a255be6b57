"""Virtual machines boot the image's own files, say what ran them, and leave nothing."""

import signal
import subprocess
import sys

import psutil
import pytest

from boxlab import engine, experiments, labels, leftover, marks, paths, runtimes, sweep, waiting
from boxlab.errors import NotReady, Unavailable
from boxlab.experiments.limits import trials
from boxlab.runtimes import accelerator, qemu
from boxlab.waiting import HANG_S

WORKLOAD = runtimes.Workload()


@pytest.fixture(scope="module")
def container_files():
    runtime = runtimes.named("container")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        return box.observe().inside["files_sha256"]


@pytest.mark.parametrize(("kind", "first_process"), [("microvm", True), ("full-vm", False)])
def test_a_vm_runs_the_containers_files_on_a_kernel_of_its_own(kind, first_process, container_files):
    runtime = runtimes.named(kind)
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        seen = box.observe()
        assert box.answer == "37.2"
        assert set(runtime.phases) <= set(box.marks)
        assert seen.inside["files_sha256"] == container_files
        assert seen.inside["kernel"] == runtime.details()["guest_kernel"]
        assert (seen.inside["pid"] == 1) is first_process
        assert any(psutil.Process(pid).name().startswith("qemu-system") for pid in seen.pids)
        box.stop()
    waiting.until(lambda: not sweep.processes())  # of a notebook before, too


def test_a_restored_vm_goes_on_from_where_it_was_saved(container_files):
    runtime = runtimes.named("restored-vm")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        assert box.answer == "37.2"
        assert set(runtime.phases) <= set(box.marks)
        first = box.observe().inside
        assert first["files_sha256"] == container_files
    with runtime.start(WORKLOAD) as again:
        assert again.observe().inside["boot_id"] == first["boot_id"]  # the same boot, resumed twice
    waiting.until(lambda: not sweep.leftovers())


def test_a_clone_may_lie_in_a_folder_of_any_name(monkeypatch, tmp_path):
    cache = tmp_path / "a, b:c='$HOME' \"그릇\"\n-n" / ".cache"
    monkeypatch.setattr(paths, "CACHE", cache)
    monkeypatch.setattr(paths, "SCRATCH", cache / "scratch")
    accelerator._remember(accelerator._judged(qemu.in_container()))
    for kind in ("microvm", "restored-vm"):
        runtime = runtimes.named(kind)
        runtime.prepare(WORKLOAD)
        with runtime.start(WORKLOAD) as box:
            assert box.answer == "37.2"
            assert str(tmp_path) not in str(runtime.details())


def test_a_broken_snapshot_is_a_failure_and_leaves_nothing():
    runtime = runtimes.named("restored-vm")
    runtime.prepare(WORKLOAD)
    whole = runtime.guest.state.read_bytes()
    try:
        runtime.guest.state.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(NotReady, match="does not save or resume"):
            runtime.start(WORKLOAD)
    finally:
        runtime.guest.state.write_bytes(whole)
    waiting.until(lambda: not sweep.leftovers())


def test_a_workload_in_a_vm_can_be_asked():
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        box.observe()
        assert box.ask("again") == "37.2"


def test_a_machines_memory_is_read_part_by_part():
    run = experiments.memory(["restored-vm", "microvm"], rounds=1)
    assert run.complete and not run.failures("microvm") and not run.failures("restored-vm")
    parts = ("guest", "kernel_file", "translation", "vmm")
    for kind in run.arms:
        whole = run.median(kind).value
        assert sum(run.median(kind, part).value for part in parts) == pytest.approx(whole)
        assert (
            16 << 20
            < run.median(kind, "guest").value
            < run.median(kind, "configured").value
            == WORKLOAD.memory_mib << 20
        )
    emulated = run.arm("microvm")["emulated"]
    assert (run.median("microvm", "translation").value > 1 << 20) is emulated


def test_a_bigger_machine_has_a_dearer_kernel():
    tax = experiments.guest_tax((128, 512), rounds=1)
    small, large = (tax.kept("microvm", "tax", level)[0] for level in (128, 512))
    assert 0 < small < large < 128 << 20


def test_instances_of_a_machine_are_started_together_and_all_stopped():
    run = experiments.density(["restored-vm"], levels=[0, 1, 3], seed=2)
    assert run.complete and not run.failures("restored-vm")
    assert run.line("restored-vm", least=0).slope.value > 1 << 20
    waiting.until(lambda: not sweep.leftovers())


@pytest.mark.parametrize(("trial", "outcome"), [("memory-microvm", "killed"), ("pids-microvm", "nothing")])
def test_a_guests_limits_are_its_own_kernels(trial, outcome):
    run = experiments.limits([t for t in trials() if t.kind == trial], rounds=1)
    [sample] = run.samples
    assert sample.notes["outcome"] == outcome and not sample.error


def test_what_a_guest_was_given_once_it_keeps():
    run = experiments.limits([t for t in trials() if t.kind == "breathe-microvm"], rounds=1)
    values = run.samples[0].values
    assert values["holding"] - values["at_rest"] > 100 << 20
    assert values["after"] > values["holding"] - (16 << 20)


def test_a_machine_larger_than_the_host_is_a_failure_in_one_line():
    run = experiments.startup(["microvm"], rounds=1, workload=runtimes.Workload(memory_mib=1 << 30))
    reason = run.failures("microvm")[0]
    assert "it ended before 'ready'" in reason and "memory" in reason
    waiting.until(lambda: not sweep.leftovers())


def test_a_machine_has_whole_processors():
    with pytest.raises(Unavailable, match="whole processors"):
        runtimes.named("microvm").prepare(runtimes.Workload(cpus=0.5))


def test_a_vm_that_hangs_is_killed_at_its_deadline(monkeypatch):
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    monkeypatch.setattr(runtime, "deadline_s", 0.01)
    with pytest.raises(NotReady, match="'ready' did not come within 0.01 s"):
        runtime.start(WORKLOAD)
    waiting.until(lambda: not sweep.processes())  # of a notebook before, too


def test_the_accelerator_was_proven_by_a_boot_or_chosen_by_the_reader():
    chosen = accelerator.choose()
    assert chosen.boot_s or chosen.reason.startswith("chosen by")
    assert chosen.emulated <= bool(chosen.reason)


@pytest.fixture
def qemu_in_a_container(monkeypatch, tmp_path):
    monkeypatch.setenv(qemu.WHERE, "container")
    monkeypatch.setattr(accelerator, "_file", lambda: tmp_path / "accelerator.json")
    qemu.version.cache_clear()
    accelerator._judged.cache_clear()
    yield
    qemu.version.cache_clear()
    accelerator._judged.cache_clear()
    leftover.remove(lambda: sweep._shared(["vm-workload", "qemu"]))


def test_a_host_without_qemu_needs_nothing_but_the_engine(qemu_in_a_container, container_files):
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        assert set(runtime.phases) <= set(box.marks)
        assert box.observe().inside["files_sha256"] == container_files
        assert "QEMU in a container" in labels.accelerator(runtime.details())
    ours = {"label": f"{engine.OWNER_LABEL}={marks.owner()}"}
    waiting.until(lambda: not engine.connect().containers.list(all=True, ignore_removed=True, filters=ours))


def test_a_killed_owner_leaves_no_vm():
    script = (
        "from boxlab import runtimes; w = runtimes.Workload(); r = runtimes.named('microvm'); r.prepare(w); "
        "b = r._spawn(w); b.read(300); print(*b.pids(), flush=True); input()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        guest = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        assert any(process.name().startswith("qemu-system") for process in guest)
        owner.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(guest, timeout=HANG_S)[1] == []

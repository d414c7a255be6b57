"""Virtual machines boot the image's own files, say what ran them, and leave nothing."""

import signal
import subprocess
import sys

import psutil
import pytest

from boxlab import engine, images, runtimes, sweep
from boxlab.errors import NotReady
from boxlab.runtimes import accelerator, qemu

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
        assert seen.inside["kernel"] == box.details["guest_kernel"]
        assert (seen.inside["pid"] == 1) is first_process
        assert any(psutil.Process(pid).name().startswith("qemu-system") for pid in seen.pids)
        box.stop()
    assert sweep.processes() == []


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
    assert sweep.leftovers() == []


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
    assert sweep.leftovers() == []


def test_a_workload_in_a_vm_can_be_asked():
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        box.observe()
        assert box.ask("again") == "37.2"


def test_a_vm_that_hangs_is_killed_at_its_deadline(monkeypatch):
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    monkeypatch.setattr(runtime, "deadline_s", 0.3)
    with pytest.raises(NotReady, match="no 'ready' within 0.3 s"):
        runtime.start(WORKLOAD)
    assert sweep.processes() == []


def test_the_accelerator_was_proven_by_a_boot_or_chosen_by_the_reader():
    chosen = accelerator.choose()
    assert chosen.boot_s or chosen.reason.startswith("chosen by")
    assert chosen.emulated <= bool(chosen.reason)


@pytest.fixture
def qemu_in_a_container(monkeypatch, tmp_path):
    monkeypatch.setenv(qemu.WHERE, "container")
    monkeypatch.setattr(accelerator, "_verdict", lambda: tmp_path / "accelerator.json")
    qemu.version.cache_clear()
    yield
    qemu.version.cache_clear()
    for image in ("vm-workload", "qemu"):
        engine.connect().images.remove(f"{images.PREFIX}{image}", force=True)


def test_a_host_without_qemu_needs_nothing_but_the_engine(qemu_in_a_container, container_files):
    runtime = runtimes.named("microvm")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        assert set(runtime.phases) <= set(box.marks)
        assert box.observe().inside["files_sha256"] == container_files
        assert "QEMU in a container" in box.details["accelerator"]["label"]
    assert not engine.connect().containers.list(all=True, filters={"label": engine.RUN_LABEL})


def test_a_killed_owner_leaves_no_vm():
    script = (
        "from boxlab import runtimes; w = runtimes.Workload(); r = runtimes.named('microvm'); r.prepare(w); "
        "b = r._spawn(w); b.read(20); print(*b.pids(), flush=True); input()"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        guest = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        assert any(process.name().startswith("qemu-system") for process in guest)
        owner.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(guest, timeout=10)[1] == []

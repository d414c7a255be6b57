"""QEMU's command line and the choice of an accelerator, without running either."""

import io
import json
import shutil
import signal
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from boxlab import images, marks, paths, progress, rootfs, runtimes, turns
from boxlab.errors import NotReady, Unavailable
from boxlab.runtimes import Box, accelerator, qemu, snapshot, spawn
from boxlab.runtimes.spawn import HostProcess
from boxlab.waiting import HANG_S

IMAGE = images.Built("workload", "t", "sha256:1", {"A": "b c"}, ["python3", "app.py"], "/app", {}, False)

DISK = rootfs.Disk(Path("/d.img"), IMAGE, rootfs.TINY_INIT)
KERNEL = rootfs.Kernel(Path("/vmlinux-6.1"), "6.1", Path("/initrd.img"))


@pytest.fixture(autouse=True)
def a_qemu(monkeypatch):
    monkeypatch.delenv(qemu.WHERE, raising=False)
    monkeypatch.setattr(qemu.shutil, "which", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(qemu, "version", lambda: "7.2")
    monkeypatch.setattr(qemu, "architecture", lambda: "x86_64")
    monkeypatch.setattr(qemu, "tsc_khz", lambda: 2000000)


def arguments(name):
    return " ".join(qemu.guest(DISK, KERNEL, name, 1, 256).command("/d.img", "/vmlinux"))


def test_emulation_is_told_the_rate_of_the_time_stamp_counter():
    assert "tsc_early_khz=2000000" in arguments("tcg") and "-machine microvm" in arguments("tcg")
    assert "-cpu max" in arguments("tcg")


def test_hardware_needs_no_rate():
    assert "tsc_early_khz" not in arguments("kvm") and "-cpu host" in arguments("kvm")


def test_where_the_rate_is_unknown_the_machine_has_a_timer(monkeypatch):
    monkeypatch.setattr(qemu, "tsc_khz", lambda: None)
    assert "-machine q35" in arguments("tcg")


def test_arm64_has_its_own_machine(monkeypatch):
    monkeypatch.setattr(qemu, "architecture", lambda: "aarch64")
    assert "-machine virt" in arguments("tcg") and "ttyAMA0" in arguments("tcg")


def test_a_command_ends_when_its_owners_input_closes():
    process = HostProcess([*qemu.WATCHED, "sleep", "1000"], {"PATH": "/usr/bin:/bin"})
    try:
        process._process.stdin.close()
        assert process._process.wait(HANG_S) == 128 + signal.SIGTERM
    finally:
        process.stop(grace_s=0)


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -ABRT $$", 128 + signal.SIGABRT)])
def test_a_watched_command_keeps_its_exit_status(script, status):
    process = HostProcess([*qemu.WATCHED, "sh", "-c", script], {"PATH": "/usr/bin:/bin"})
    assert process._process.wait(HANG_S) == status
    process.stop()


def test_the_output_of_a_watched_command_ends_with_it():
    process = HostProcess([*qemu.WATCHED, "echo", "last words"], {"PATH": "/usr/bin:/bin"})
    assert process.read(HANG_S) == b"last words\n"
    assert process.read(HANG_S) == b""
    process.stop()


def test_a_watched_command_gets_the_input():
    process = HostProcess([*qemu.WATCHED, "cat"], {"PATH": "/usr/bin:/bin"})
    process.send(b"a line\n")
    assert process.read(HANG_S) == b"a line\n"
    process.stop()


@pytest.mark.parametrize("pause", ["", "trap 'sleep 0.2' DEBUG"], ids=["", "where the watching shell is slow"])
def test_a_watched_command_is_gone_when_the_watch_ends(tmp_path, pause):
    (tmp_path / "before").write_text(pause)
    script = f"trap 'echo gone >{tmp_path}/said; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    environment = {"PATH": "/usr/bin:/bin", "BASH_ENV": str(tmp_path / "before")}
    process = HostProcess([*qemu.WATCHED, "sh", "-c", script], environment)
    assert process.read(HANG_S) == b"up\n"
    process.stop(grace_s=HANG_S)
    assert (tmp_path / "said").read_text() == "gone\n"


@pytest.fixture
def unlinks_late(monkeypatch, tmp_path):
    """A QEMU that has made the file for what its disk takes up, and not taken its name away yet."""
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
    (tmp_path / "qemu").write_text('#!/bin/sh\nmktemp "$TMPDIR/vl.XXXXXX"; echo up; exec sleep 1000\n')
    (tmp_path / "qemu").chmod(0o755)
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    return [*qemu.WATCHED, str(tmp_path / "qemu")]


def test_a_machine_that_is_killed_as_it_starts_leaves_no_file_of_its_disk(unlinks_late):
    process = qemu.started(unlinks_late)
    assert b"vl." in process.read(HANG_S)
    process.stop(grace_s=0)
    process.stop(grace_s=0)
    assert list(paths.SCRATCH.iterdir()) == []


def test_what_is_removed_after_a_machine_is_no_part_of_its_end(unlinks_late, monkeypatch):
    process, removed, remove = qemu.started(unlinks_late), [], shutil.rmtree
    assert b"vl." in process.read(HANG_S)

    def noted(folder):
        removed.append((time.monotonic(), folder.exists()))
        remove(folder)

    monkeypatch.setattr(spawn.shutil, "rmtree", noted)
    began = time.monotonic()
    took = Box("microvm", None, process, {}, "").stop()
    [(at, there)] = removed
    assert there and began + took <= at
    assert list(paths.SCRATCH.iterdir()) == []


def test_a_machine_whose_owner_is_killed_as_it_starts_leaves_no_file_of_its_disk(unlinks_late):
    process = qemu.started(unlinks_late)
    try:
        assert b"vl." in process.read(HANG_S)
        assert [marks.RUN in folder.name for folder in paths.SCRATCH.iterdir()] == [True]
        process._process.stdin.close()
        process._process.wait(HANG_S)
        assert list(paths.SCRATCH.iterdir()) == []
    finally:
        process.stop(grace_s=0)


def test_a_machine_that_cannot_be_started_leaves_nothing(unlinks_late):
    with pytest.raises(FileNotFoundError):
        qemu.started(["/no/such/qemu"])
    assert list(paths.SCRATCH.iterdir()) == []


@pytest.mark.parametrize("folder", ["a, b", "a:b=c", 'it\'s "$HOME"', "-n", "two\nlines", "그릇", "a,,b"])
def test_the_path_to_a_clone_may_have_any_character(folder, monkeypatch, tmp_path):
    cache = tmp_path / folder / ".cache"
    monkeypatch.setattr(paths, "CACHE", cache)
    kernel = rootfs.Kernel(cache / "kernels" / "vmlinux-6.1", "6.1", cache / "kernels" / "initrd.img")
    disk = rootfs.Disk(cache / "disks" / "d-1", IMAGE, rootfs.TINY_INIT)
    started = []
    monkeypatch.setattr(qemu, "HostProcess", lambda argv, env, fds, cwd, work: started.append((argv, cwd)))
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
    qemu.guest(disk, kernel, "tcg", 1, 256).spawn()
    [(command, cwd)] = started
    assert cwd == cache and not any(f"/{folder}/" in word for word in command)
    assert "id=root,if=none,format=raw,snapshot=on,file=disks/d-1" in command and "kernels/vmlinux-6.1" in command


def test_commas_of_a_path_are_doubled_in_an_option():
    command = qemu.guest(DISK, KERNEL, "tcg", 1, 256).command("/a,b/d.img", "/a,b/vmlinux")
    assert "id=root,if=none,format=raw,snapshot=on,file=/a,,b/d.img" in command and "/a,b/vmlinux" in command


def test_a_record_has_no_path_of_this_machine():
    booted = qemu.guest(DISK, KERNEL, "tcg", 1, 256)
    resumed = snapshot._Resumable(DISK, KERNEL, "tcg", 1, 256, folder=Path("/home/me/book/snapshots/s"), resumes=True)
    for guest in (booted, resumed):
        assert not [word for word in guest.described() if "/d.img" in word or "/home" in word or "/initrd" in word]
    assert any("mem-path=SNAPSHOT/ram," in word for word in resumed.described())


@pytest.mark.parametrize(
    ("boot_s", "deadline_s", "silence_s"), [(None, 300, 150), (0.4, 300, 150), (4.0, 300, 150), (80.0, 4800, 800)]
)
def test_a_machine_is_waited_for_as_long_as_its_accelerator_is_slow(boot_s, deadline_s, silence_s, monkeypatch):
    runtime = runtimes.FullVM()
    chosen = accelerator.Accelerator("tcg", boot_s, "", "")
    monkeypatch.setattr(accelerator, "choose", lambda: chosen)
    monkeypatch.setattr(images, "ensure", lambda name: IMAGE)
    monkeypatch.setattr(rootfs, "disk", lambda image, init: DISK)
    monkeypatch.setattr(rootfs, "kernel", lambda: KERNEL)
    runtime.prepare(runtimes.Workload())
    assert (runtime.deadline_s, runtime.silence_s, runtime.answer_s) == (deadline_s, silence_s, silence_s)


def test_writes_of_a_guest_are_thrown_away():
    assert "snapshot=on" in arguments("tcg")


def test_a_host_without_qemu_runs_it_in_a_container(monkeypatch):
    assert not qemu.in_container()
    monkeypatch.setattr(qemu.shutil, "which", lambda command: None)
    assert qemu.in_container()


def test_a_host_that_is_told_to_run_qemu_and_has_none_is_told_the_package(monkeypatch):
    monkeypatch.setattr(qemu.shutil, "which", lambda command: None)
    monkeypatch.setenv(qemu.WHERE, "host")
    with pytest.raises(Unavailable, match="apt-get install qemu"):
        qemu.in_container()
    monkeypatch.setenv(qemu.WHERE, "moon")
    with pytest.raises(Unavailable, match="host or container"):
        qemu.in_container()


@pytest.mark.parametrize("size", [0, 1, 512, 513, 3 << 20])
def test_a_file_is_packed_block_by_block_into_a_whole_tar(tmp_path, size):
    (tmp_path / "file").write_bytes(b"x" * size)
    member = tarfile.TarInfo("file")
    member.size = size
    packed = b"".join(rootfs.tar_of(member, tmp_path / "file"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.extractfile("file").read() == b"x" * size


def test_our_init_sets_up_what_a_container_gets_and_hands_over():
    [(member, script)] = rootfs._tiny_init(IMAGE)
    text = script.decode()
    assert f"/{member.name}" == rootfs.TINY_INIT and member.mode & 0o111
    assert "export A='b c'" in text and "cd /app" in text and text.endswith("exec python3 app.py\n")


def test_the_unit_runs_the_images_own_command():
    unit = rootfs._systemd_unit(IMAGE)[0][1].decode()
    assert (
        'Environment="A=b c"' in unit
        and "ExecStart=/usr/bin/env python3 app.py" in unit
        and "WorkingDirectory=/app" in unit
    )


def test_no_login_prompt_takes_the_console_from_the_workload():
    links = {member.name: member.linkname for member, _ in rootfs._systemd_unit(IMAGE) if member.issym()}
    assert links["etc/systemd/system/serial-getty@.service"] == "/dev/null"


@pytest.fixture
def probe(monkeypatch, tmp_path):
    """An accelerator module whose boots are scripted: name -> seconds or an error."""
    monkeypatch.delenv(accelerator.OVERRIDE, raising=False)
    monkeypatch.setattr(accelerator.paths, "CACHE", tmp_path)
    monkeypatch.setattr(accelerator.paths, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(accelerator, "_refusal", lambda hardware: "")
    monkeypatch.setattr(accelerator.sys, "platform", "linux")
    boots, tried = {}, []

    def boot(name):
        tried.append(name)
        if isinstance(boots[name], Exception):
            raise boots[name]
        return boots[name]

    monkeypatch.setattr(accelerator, "_boot", boot)
    monkeypatch.setattr(accelerator, "_load", lambda: 0.0)
    monkeypatch.setenv(progress.TERMINAL, "")
    accelerator._judged.cache_clear()
    yield boots, tried
    accelerator._judged.cache_clear()


def in_the_next_process():
    accelerator._judged.cache_clear()
    return accelerator.choose()


HUNG = NotReady("'ready' did not come within 5 s", hung=True)


def test_the_last_words_are_the_machines_own():
    process = HostProcess(
        [*qemu.WATCHED, "sh", "-c", "echo assertion failed >&2; kill -ABRT $$"], {"PATH": "/usr/bin:/bin"}
    )
    output = b"".join(iter(lambda: process.read(HANG_S), b""))
    process.stop()
    assert output == b"assertion failed\n"


def test_kvm_that_boots_is_taken_and_remembered(probe):
    boots, tried = probe
    boots["kvm"] = 0.4
    assert accelerator.choose().name == "kvm"
    assert accelerator.choose().boot_s == 0.4
    assert tried == ["kvm"]


def test_kvm_that_opens_and_does_not_boot_falls_back_with_the_reason(probe):
    boots, _ = probe
    boots |= {"kvm": NotReady("killed by SIGABRT"), "tcg": 2.5}
    chosen = accelerator.choose()
    assert chosen.emulated and "SIGABRT" in chosen.reason


def test_kvm_that_hangs_is_not_waited_for_again(probe):
    boots, tried = probe
    boots |= {"kvm": HUNG, "tcg": 2.5}
    for _ in range(3):
        chosen = in_the_next_process()
        assert chosen.emulated and "did not come within 5 s" in chosen.reason
    assert tried == ["kvm", "tcg"]


@pytest.mark.parametrize("failure", [HUNG, NotReady("failed to initialize kvm: Device or resource busy")])
def test_kvm_that_failed_is_tried_again_a_day_later_or_if_the_clock_was_set_back(probe, monkeypatch, failure):
    boots, tried = probe
    boots |= {"kvm": failure, "tcg": 2.5}
    for days in (-2, 2):
        monkeypatch.setattr(accelerator, "_now", lambda days=days: (datetime.now(UTC) - timedelta(days)).isoformat())
        in_the_next_process()
    assert tried == ["kvm", "tcg"] * 2


def test_kvm_that_hung_on_a_busy_machine_is_tried_again_once_when_it_is_idle(probe, monkeypatch):
    boots, tried = probe
    boots |= {"kvm": HUNG, "tcg": 2.5}
    monkeypatch.setattr(accelerator, "_load", lambda: 1.5)
    assert in_the_next_process().emulated and in_the_next_process().emulated
    assert tried == ["kvm", "tcg"]
    monkeypatch.setattr(accelerator, "_load", lambda: 0.1)
    assert accelerator.choose().emulated, "all arms of a run have the same"
    assert in_the_next_process().emulated and in_the_next_process().emulated
    assert tried == ["kvm", "tcg"] * 2


def test_kvm_is_tried_again_when_that_is_asked_for(probe):
    boots, _ = probe
    boots |= {"kvm": HUNG, "tcg": 2.5}
    accelerator.choose()
    boots["kvm"] = 0.4
    assert accelerator.choose(again=True).name == "kvm" == in_the_next_process().name


def test_that_nothing_boots_is_remembered_as_well(probe):
    boots, tried = probe
    boots |= {"kvm": NotReady("stopped"), "tcg": HUNG}
    for _ in range(3):
        with pytest.raises(Unavailable, match="no virtual machine boots here.*stopped.*did not come") as caught:
            in_the_next_process()
    assert "--again" in caught.value.fix and tried == ["kvm", "tcg"]
    with pytest.raises(Unavailable):
        accelerator.cached()


def test_of_several_processes_one_proves_and_the_others_wait_for_it(probe, monkeypatch):
    boots, tried = probe
    boots["kvm"] = 0.4
    said, waiting = [], threading.Event()
    monkeypatch.setattr(accelerator.progress, "say", lambda text: (said.append(text), waiting.set()))
    held = turns.take(accelerator._turn())
    with ThreadPoolExecutor(1) as other:
        try:
            found = other.submit(accelerator.choose)
            assert waiting.wait(HANG_S)
            accelerator._remember(accelerator._prove())
        finally:
            turns.give(accelerator._turn(), held)
    assert found.result().name == "kvm" and tried == ["kvm"]
    assert "waiting until it is known how virtual machines run here" in said[0]


def test_an_unreadable_verdict_is_none(probe):
    accelerator._file().parent.mkdir(exist_ok=True)
    accelerator._file().write_text('{"circ')
    assert accelerator.cached() is None


def test_each_accelerator_is_tried_and_says_why_not(probe):
    boots, tried = probe
    boots |= {"kvm": NotReady("stopped"), "tcg": 2.0}
    assert accelerator.attempts() == {
        "KVM": "a guest was started and did not boot: stopped",
        "software emulation (TCG)": 2.0,
    }
    assert tried == ["kvm", "tcg"]


def test_nothing_boots_is_an_error(probe):
    boots, _ = probe
    boots |= {"kvm": NotReady("x"), "tcg": NotReady("hung")}
    with pytest.raises(Unavailable, match="no virtual machine boots here"):
        accelerator.choose()


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"verdict": null}', '{"accelerator": {"name": "kvm"}, "circumstances": {}}']
)
def test_a_verdict_of_another_version_of_ours_is_none(probe, text):
    accelerator._file().write_text(text)
    assert accelerator.cached() is None


def test_a_verdict_from_another_qemu_does_not_count(probe, monkeypatch):
    boots, _ = probe
    boots["kvm"] = 0.4
    accelerator.choose()
    monkeypatch.setattr(qemu, "version", lambda: "9.0")
    assert accelerator.cached() is None


def test_the_override_is_obeyed_and_checked(probe, monkeypatch):
    monkeypatch.setenv(accelerator.OVERRIDE, "tcg")
    assert accelerator.choose().reason == "chosen by BOXLAB_ACCELERATOR"
    monkeypatch.setenv(accelerator.OVERRIDE, "xen")
    with pytest.raises(Unavailable, match="one of: kvm, hvf, tcg"):
        accelerator.choose()
    assert not (accelerator.paths.CACHE / "accelerator.json").exists()


def test_the_verdict_is_plain_data(probe):
    boots, _ = probe
    boots["kvm"] = 0.4
    accelerator.choose()
    assert (
        json.loads((accelerator.paths.CACHE / "accelerator.json").read_text())["verdict"]["accelerator"]["name"]
        == "kvm"
    )

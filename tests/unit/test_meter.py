"""Reading memory, from a /proc and control groups that are only files."""

import os
import shutil
from types import SimpleNamespace

import pytest

from boxlab import meter
from boxlab.errors import NotReady
from boxlab.experiments import engine_figure
from boxlab.experiments.memory import figures
from boxlab.meter import agent
from boxlab.runtimes import Container, Process, Workload
from boxlab.runtimes.spawn import EngineContainer

ROLLUP = """55d0-7ffe ---p 00000000 00:00 0    [rollup]
Rss:               {rss} kB
Pss:               {pss} kB
Private_Clean:       100 kB
Private_Dirty:       900 kB
Anonymous:           800 kB
"""
SMAPS = """7f0000000000-7f0010000000 rw-p 00000000 00:00 0
Rss:              102400 kB
Pss:              102400 kB
7f1000000000-7f1040000000 rwxp 00000000 00:00 0
Rss:               51200 kB
Pss:               51200 kB
7f2000000000-7f2003000000 rw-p 00000000 08:01 77   /cache/kernels/x/vmlinux-6.1.0
Rss:               40960 kB
Pss:               20480 kB
7f3000000000-7f3003000000 r--p 00000000 08:01 78   /usr/bin/qemu-system-x86_64
Rss:               10240 kB
Pss:               10240 kB
7f4000000000-7f4003000000 ---p 00000000 00:00 0
Rss:                   0 kB
Pss:                   0 kB
"""
ID = "c" * 64


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """A machine with a program in a container (10), its shim (20), gVisor's kernel below that (21), and QEMU (30)."""
    monkeypatch.setattr(agent, "PROC", tmp_path / "proc")
    monkeypatch.setattr(agent, "CGROUPS", tmp_path / "cgroup")
    processes = {
        10: ("python3", "app", f"0::/docker/{ID}", 20, 4000, 3000),
        20: ("containerd-shim", f"shim -id {ID}", "0::/", 1, 3000, 2000),
        21: ("exe", "runsc-sandbox", "0::/", 20, 500, 400),
        30: ("qemu-system-x86", "qemu", "0::/", 1, 215040, 190000),
    }
    for pid, (name, command, cgroup, parent, rss, pss) in processes.items():
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "comm").write_text(name + "\n")
        (folder / "cmdline").write_text(command.replace(" ", "\0"))
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 0 0")
        (folder / "smaps_rollup").write_text(ROLLUP.format(rss=rss, pss=pss))
        (folder / "smaps").write_text(SMAPS)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:   4096 kB\n")
    (tmp_path / "proc" / "uptime").write_text("1 1")
    return tmp_path


def test_all_that_serves_a_container_is_found_and_nothing_else(proc):
    found = agent.answer({"containers": [ID]})
    assert [p["pid"] for p in found["processes"]] == [10, 20, 21]
    assert found["available"] == 4096 * 1024


def test_a_process_is_read_in_bytes_and_one_that_is_gone_is_left_out(proc):
    [only] = agent.answer({"pids": [10, 99]})["processes"]
    assert (only["rss"], only["pss"], only["uss"]) == (4000 * 1024, 3000 * 1024, 1000 * 1024)
    (proc / "proc" / "10" / "smaps_rollup").write_text("")  # ended, and not yet waited for
    assert agent.process(10) is None


def test_control_groups_of_both_versions_give_the_same_figures(proc):
    two = proc / "cgroup" / "docker" / ID
    two.mkdir(parents=True)
    (two / "memory.current").write_text("900\n")
    (two / "memory.stat").write_text("anon 500\nfile 300\nkernel 100\ninactive_file 250\n")
    expected = {"anon": 500, "file": 300, "kernel": 100, "usage": 900, "inactive_file": 250}
    assert agent.control_group(10) == expected

    one = proc / "cgroup" / "memory" / "docker" / ID
    one.mkdir(parents=True)
    (proc / "proc" / "10" / "cgroup").write_text(f"5:cpu:/x\n4:memory:/docker/{ID}\n0::/\n")
    (one / "memory.usage_in_bytes").write_text("900\n")
    (one / "memory.kmem.usage_in_bytes").write_text("100\n")
    (one / "memory.stat").write_text("total_rss 500\ntotal_cache 300\ntotal_inactive_file 250\n")
    assert agent.control_group(10) == expected
    assert engine_figure(agent.control_group(10)) == 650


def test_a_container_without_a_memory_controller_has_no_figures(proc):
    assert agent.answer({"containers": [ID]})["cgroups"] == []


def reading(answer):
    meter._give_roles(answer["processes"])
    return meter.Reading(answer["processes"], answer["cgroups"], answer["available"], answer["total"])


def test_a_machines_memory_is_divided_and_translated_code_stands_apart(proc):
    parts = reading(agent.answer({"pids": [30]})).emulator_parts(256)
    assert {name: size >> 20 for name, size in parts.items()} == {
        "guest": 100,
        "kernel_file": 20,
        "translation": 50,
        "rest": 190000 // 1024 - 170,
    }


def test_podmans_shim_is_one_though_it_lies_in_the_containers_control_group(proc):
    folder = proc / "proc" / "20"
    for name, text in {"comm": "conmon\n", "cmdline": f"conmon\0-c\0{ID}", "cgroup": f"0::/libpod-{ID}"}.items():
        (folder / name).write_text(text)
    roles = {process["name"]: process["role"] for process in reading(agent.answer({"containers": [ID]})).processes}
    assert roles == {"python3": "application", "conmon": "shim", "exe": "sandbox"}


def test_what_a_box_has_not_is_missing_and_not_zero(proc):
    container = figures(reading(agent.answer({"containers": [ID]})), Workload())
    assert container["shim"] == 2000 * 1024 and container["application"] == 3000 * 1024
    assert "guest" not in container and "configured" not in container
    machine = figures(reading(agent.answer({"pids": [30]})), Workload())
    assert machine["configured"] == 256 << 20 and "application" not in machine


def named(proc, pid, name):
    """A process of the machine gets another name, or is a new one."""
    folder = proc / "proc" / str(pid)
    if not folder.exists():
        shutil.copytree(proc / "proc" / "21", folder)
        (folder / "stat").write_text(f"{pid} ({name}) S 1 0 0")
    (folder / "comm").write_text(name + "\n")


def plain(*pids):
    return SimpleNamespace(kind="box", spawned=SimpleNamespace(pids=lambda: list(pids)))


def container():
    spawned = EngineContainer.__new__(EngineContainer)
    spawned.id = ID
    return SimpleNamespace(kind="container", spawned=spawned)


def test_our_own_watch_counts_for_nothing(proc):
    named(proc, 40, "bash")
    read = meter.Meter(None).read(plain(30, 40))
    assert [p["role"] for p in read.processes] == ["vmm", "watch"]
    assert read.total("pss") == 190000 * 1024


@pytest.mark.parametrize("name", meter.WATCH)
def test_a_shell_is_an_application_like_any_other_where_no_machine_runs(proc, name):
    named(proc, 10, name)
    named(proc, 40, name)
    read = meter.Meter(None).read(container(), plain(40))
    assert [p["pid"] for p in read.processes if p["role"] == "application"] == [10, 40]
    assert read.total("pss") == (3000 + 2000 + 400 + 400) * 1024


@pytest.mark.parametrize("pid", [10, 20, 99], ids=["in the container", "its shim", "another's"])
def test_a_name_that_the_kernel_has_cut_within_a_character_is_read(proc, pid):
    named(proc, 99, "another")
    cut, folder = "a한국어프로그램".encode()[:15], proc / "proc" / str(pid)
    cut = b"containerd-shim" if pid == 20 else cut
    (folder / "comm").write_bytes(cut + b"\n")
    (folder / "stat").write_bytes(b"%d (%s) S 1 0 0" % (pid, cut))
    (folder / "cmdline").write_bytes((folder / "cmdline").read_bytes() + b"\0\xed\x94")
    (folder / "smaps").write_bytes(
        SMAPS.encode() + b"7f5000000000-7f5003000000 r--p 00000000 08:01 79   /tmp/\xed\x94\n"
    )
    read = meter.Meter(None).read(container(), plain(99))
    assert len(agent.areas(pid)) == 4
    assert {p["pid"] for p in read.processes if p["role"] == "application"} == {10, 99}


def test_many_processes_of_one_box_do_not_stand_for_another_that_has_ended(proc):
    named(proc, 40, "python3")
    named(proc, 41, "python3")
    with pytest.raises(NotReady, match="the box has ended"):
        meter.Meter(None).read(plain(40, 41), plain(99))
    shutil.rmtree(proc / "proc" / "10")
    shutil.rmtree(proc / "proc" / "21")  # of the container only its shim is left
    with pytest.raises(NotReady, match="the container has ended"):
        meter.Meter(None).read(plain(40, 41), container())


@pytest.mark.linux
@pytest.mark.parametrize(("inside", "reads"), [(False, "process"), (True, "container")])
def test_root_in_a_container_leaves_it_to_another_one_to_read(monkeypatch, inside, reads):
    """It has the engine's socket and kernel, and none of the other containers' processes."""
    made = SimpleNamespace(stop=lambda grace_s: None)
    own = os.stat("/proc/self/ns/pid").st_ino
    monkeypatch.setattr(meter, "ALL_PROCESSES", own + inside, raising=False)
    monkeypatch.setattr(meter.engine, "is_local", lambda: True)
    monkeypatch.setattr(meter.os, "geteuid", lambda: 0)
    monkeypatch.setattr(meter.images, "ensure", lambda name: SimpleNamespace(tag=name))
    monkeypatch.setattr(meter, "EngineContainer", lambda *_arguments, **_options: made)
    monkeypatch.setattr(meter, "Console", lambda *_: SimpleNamespace(wait_for=lambda *_: ""))
    with meter.open_meter() as opened:
        assert opened.read_by(Container()) == reads
        assert opened.read_by(Process()) == "process"

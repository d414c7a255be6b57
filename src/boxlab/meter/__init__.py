"""How much memory a box takes: the kernel's own figures, for every process that serves it.

Where we may not read other users' processes, or the containers run on another kernel (Docker Desktop), a container of ours
reads them, with the host's process ids and the right to look into them.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxlab import engine, images
from boxlab.errors import NotReady
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.meter import agent
from boxlab.runtimes import Box, Container, MicroVM, Runtime, qemu
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

ANSWER_S = 120

ALL_PROCESSES = 0xEFFFFFFC
"""Inode of the kernel's first PID namespace (`linux/proc_ns.h`), whose /proc has the processes of every container."""

VMM = "qemu-system"

SANDBOXES = ("exe", "runsc")
"""Names of gVisor's own processes: the kernel in which the application runs, and its helpers."""

WATCH = ("bash", "cat")
"""Ours, around QEMU: they end it when its owner dies, and count for nothing. In another box they are the application's own."""


@dataclass(frozen=True)
class Reading:
    """What one or several boxes take at one moment.

    Attributes:
        processes: as `agent.process` gives them, each with its `role`: application, sandbox, shim, vmm or watch.
        cgroups: of each container, as `agent.control_group` gives it; other boxes have none.
        available: bytes that the kernel could still give out.
        installed: bytes that it has.
    """

    processes: list[dict[str, Any]]
    cgroups: list[dict[str, Any]]
    available: int
    installed: int

    def total(self, figure: str, role: str | None = None) -> int:
        """Sum of a figure (rss, pss, uss, anon) over the processes of one role, or over all but the watch, in bytes."""
        return sum(p[figure] for p in self.processes if p["role"] == role or (role is None and p["role"] != "watch"))

    def emulator_parts(self, memory_mib: int) -> dict[str, int]:
        """Proportional set of the VMMs by what it is for, in bytes: guest, kernel_file, translation, rest; empty where none
        runs.

        The guest's memory is the area of its size or the file it is kept in; the kernel's file is mapped to be loaded; what
        an emulator has translated lies in areas that may be both written and run, or are one file mapped twice.
        """
        parts = {"guest": 0, "kernel_file": 0, "translation": 0, "rest": 0}
        emulators = [p for p in self.processes if p["role"] == "vmm"]
        for process in emulators:
            for area in process["areas"]:
                if area["path"].endswith("/ram") or memory_mib << 20 <= area["size"] < (memory_mib + 2) << 20:
                    parts["guest"] += area["pss"]
                elif "/vmlinux" in area["path"]:
                    parts["kernel_file"] += area["pss"]
                elif "wx" in area["permissions"] or "tcg-jit" in area["path"]:
                    parts["translation"] += area["pss"]
            parts["rest"] += process["pss"]
        parts["rest"] -= parts["guest"] + parts["kernel_file"] + parts["translation"]
        return parts if emulators else {}


class Meter:
    """Reads boxes; made by `open_meter`."""

    def __init__(self, spawned: EngineContainer | None):
        self._spawned = spawned
        self._console = Console(spawned, {"ready": "meter: ready"}, time.monotonic()) if spawned else None
        if self._console:
            self._console.wait_for("ready", ANSWER_S)

    def read_by(self, runtime: Runtime) -> str:
        """What reads a runtime's boxes, as the details of its arm say it: this process, or a container of ours, whose program
        shares pages of files with the boxes, and so makes their proportional sets smaller."""
        contained = isinstance(runtime, Container) or (isinstance(runtime, MicroVM) and qemu.in_container())
        return "container" if self._spawned and contained else "process"

    def read(self, *boxes: Box) -> Reading:
        """Some boxes together, or the machine alone.

        Raises:
            NotReady: one of them has ended.
        """
        keys = [box.spawned.id if isinstance(box.spawned, EngineContainer) else None for box in boxes]
        own = {pid: n for n, box in enumerate(boxes) if not keys[n] for pid in box.spawned.pids()}
        answer = self._ask({"containers": [key for key in keys if key]})
        if own:  # processes of this machine, which need not be the engine's; they are ours, and we may read them
            answer["processes"] += agent.answer({"pids": list(own)})["processes"]
        for n, box in enumerate(boxes):
            of_it = [p for p in answer["processes"] if (p["container"] or own[p["pid"]]) == (keys[n] or n)]
            _give_roles(of_it)
            if not any(process["role"] in ("application", "vmm", "sandbox") for process in of_it):
                raise NotReady(_("the {box} has ended: no process of it is there to be read", box=box.kind))
        return Reading(answer["processes"], answer["cgroups"], answer["available"], answer["total"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self._console or not self._spawned:
            return agent.answer(request)
        self._spawned.send(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._console.next("meter: answer (.*)", ANSWER_S))
        return answer


@contextmanager
def open_meter() -> Iterator[Meter]:
    """A meter that can read every box here: in this process where we are root on the engine's kernel, else in a container.

    In a container of the engine's, as root and with its socket, we do not see what runs in others.

    Raises:
        EngineError, BuildError: the container cannot be made.
        NotReady: it does not answer.
    """
    if engine.is_local() and os.geteuid() == 0 and os.stat("/proc/self/ns/pid").st_ino == ALL_PROCESSES:
        yield Meter(None)
        return
    image = images.ensure("base").tag
    spawned = None
    try:
        with deferred():
            spawned = EngineContainer(
                image,
                ["python3", "-c", Path(agent.__file__).read_text()],
                network_mode="none",
                pid_mode="host",
                cgroupns="host",
                cap_add=["SYS_PTRACE"],
                security_opt=["apparmor=unconfined"],
                binds=["/sys/fs/cgroup:/sys/fs/cgroup:ro"],
            )
        yield Meter(spawned)
    finally:
        if spawned:
            spawned.stop(grace_s=0)


def refusal(runtime: Runtime) -> str:
    """Why the memory of a runtime's boxes cannot be read here; empty where it can."""
    if isinstance(runtime, MicroVM) and sys.platform != "linux" and not qemu.in_container():
        return _(
            "how much memory QEMU takes can be read on Linux only; {setting} runs it there",
            setting=f"{qemu.WHERE}=container",
        )
    return ""


def _give_roles(processes: list[dict[str, Any]]) -> None:
    """Say of each process of one box what it is there for."""
    watched = any(process["name"].startswith(VMM) for process in processes)
    for process in processes:
        name, role = process["name"], "application"
        for beginning, kind in ((VMM, "vmm"), (agent.SHIMS, "shim"), (SANDBOXES, "sandbox")):
            if name.startswith(beginning):
                role = kind
        process["role"] = "watch" if watched and name in WATCH else role

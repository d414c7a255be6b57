"""Read memory from the kernel that runs the boxes. Only the standard library: it also runs in a container of ours.

Run as a program, it answers every line of its input, a request as JSON, with a line of JSON.
Sources: /proc/PID/smaps_rollup and smaps (Documentation/filesystems/proc.rst), the memory controllers' files
(Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst). All sizes are bytes.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")

SHIMS = ("containerd-shim", "conmon")
"""How the names of processes begin that stand beside a container and are not in it: Docker's, Podman's."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What `request` asks for.

    Args:
        request: "pids": process ids; "containers": ids of containers, whose processes are found here.

    Returns:
        "processes": one entry for each that is still there (see `process`), with its "container", or None; "cgroups": one
        for each container that has a memory controller (see `control_group`); "available" and "total": MemAvailable and
        MemTotal.
    """
    pids, cgroups = dict.fromkeys(request.get("pids", ())), []
    for container in request.get("containers", ()):
        inside, around = _of_container(container)
        pids |= dict.fromkeys(inside + around, container)
        cgroups += [found for pid in inside[:1] if (found := control_group(pid))]
    read = [found | {"container": container} for pid, container in pids.items() if (found := process(pid))]
    memory = _kib(PROC.joinpath("meminfo").read_text())
    return {"processes": read, "cgroups": cgroups, "available": memory["MemAvailable"], "total": memory["MemTotal"]}


def process(pid: int) -> dict[str, Any] | None:
    """One process: its name and, in bytes, `rss`, `pss` (shared pages divided among those who share them), `uss` (pages
    that nobody else has), `anon` (those of no file); for an emulator `areas` as well. None where it is gone.

    Raises:
        PermissionError: it is another user's.
    """
    folder = PROC / str(pid)
    try:
        fields = _kib(_text(folder / "smaps_rollup"))
        name = _text(folder / "comm").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if "Rss" not in fields:  # it has ended and was not yet waited for
        return None
    found = {
        "pid": pid,
        "name": name,
        "rss": fields["Rss"],
        "pss": fields["Pss"],
        "uss": fields["Private_Clean"] + fields["Private_Dirty"],
        "anon": fields["Anonymous"],
    }
    if name.startswith("qemu-system"):
        try:
            found["areas"] = areas(pid)
        except (FileNotFoundError, ProcessLookupError):
            return None
    return found


def areas(pid: int) -> list[dict[str, Any]]:
    """The memory areas of a process that hold anything: `size`, `pss`, `rss`, `permissions`, `path`."""
    found, head = [], re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)$")
    for line in _text(PROC / str(pid) / "smaps").splitlines():
        if match := head.match(line):
            size = int(match[2], 16) - int(match[1], 16)
            found.append({"size": size, "permissions": match[3], "path": match[4], "rss": 0, "pss": 0})
        elif line.startswith(("Rss:", "Pss:")):
            name, value = line.split()[:2]
            found[-1][name[:-1].lower()] = int(value) * 1024
    return [area for area in found if area["rss"]]


def control_group(pid: int) -> dict[str, Any] | None:
    """What the control group of a process is charged with: `anon`, `file`, `kernel` (None where the kernel does not say),
    `usage` and `inactive_file`. None where it has none."""
    try:
        lines = _text(PROC / str(pid) / "cgroup").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _version_1(CGROUPS / "memory" / path.lstrip("/"))
        if not controllers and (CGROUPS / path.lstrip("/") / "memory.current").exists():
            return _version_2(CGROUPS / path.lstrip("/"))
    return None


def _version_1(folder: Path) -> dict[str, Any] | None:
    if not folder.is_dir():
        return None
    stat = _pairs(folder / "memory.stat")
    kernel = folder / "memory.kmem.usage_in_bytes"
    return {
        "anon": stat["total_rss"],
        "file": stat["total_cache"],
        "kernel": int(kernel.read_text()) if kernel.exists() else None,
        "usage": int((folder / "memory.usage_in_bytes").read_text()),
        "inactive_file": stat["total_inactive_file"],
    }


def _version_2(folder: Path) -> dict[str, Any]:
    stat = _pairs(folder / "memory.stat")
    return {
        "anon": stat["anon"],
        "file": stat["file"],
        "kernel": stat.get("kernel"),
        "usage": int((folder / "memory.current").read_text()),
        "inactive_file": stat["inactive_file"],
    }


def _of_container(container: str) -> tuple[list[int], list[int]]:
    """The processes in a container, and those that serve it: its shim, and all that this has started."""
    inside, around, parents = [], [], {}
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        pid = int(folder.name)
        try:
            parents[pid] = int(_text(folder / "stat").rpartition(")")[2].split()[1])
            shim = _text(folder / "comm").startswith(SHIMS)
            if shim and container in _text(folder / "cmdline"):
                around.append(pid)
            elif not shim and container in _text(folder / "cgroup"):
                inside.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    served = set(around)
    while more := {pid for pid, parent in parents.items() if parent in served} - served:
        served |= more
    return sorted(inside), sorted(served - set(inside))


def _text(path: Path) -> str:
    """What the kernel says of a process, whose name it may have cut within a character."""
    return path.read_text(encoding="utf-8", errors="replace")


def _pairs(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def _kib(text: str) -> dict[str, int]:
    """Lines such as "Rss:  1234 kB", in bytes."""
    return {name: int(value) * 1024 for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}


if __name__ == "__main__":
    print("meter: ready", flush=True)
    for line in sys.stdin:
        print(f"meter: answer {json.dumps(answer(json.loads(line)))}", flush=True)

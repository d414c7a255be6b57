"""What a process sees of the machine that it believes to run on, read from its kernel's own files.

Runs in every box of chapters 04 and 05, and on the host to compare with; None or nothing stands for what a kernel does
not show there.
"""

import os


def look() -> dict:
    """The kernel, the machine that it drives, the processes that it shows us, our namespaces and our rights."""
    return {
        "kernel": os.uname().release,
        "boot_id": _first_line("/proc/sys/kernel/random/boot_id"),
        "host_name": os.uname().nodename,
        "pid": os.getpid(),
        **_processes(),
        "processors": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "disks": [name for name in _folder("/sys/block") if not name.startswith(("loop", "ram", "zram"))],
        "system": _field("/etc/os-release", "PRETTY_NAME", "="),
        "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in _folder("/proc/self/ns")},
        "capabilities": _field("/proc/self/status", "CapEff"),
        "seccomp": _field("/proc/self/status", "Seccomp"),
    }


def read(times: int) -> int:
    """Make `times` system calls `read`, and return how many its kernel has counted: one more, to read the count itself."""
    with open("/dev/null", "rb", buffering=0) as file:
        before = int(_field("/proc/self/io", "syscr"))
        for _ in range(times):
            file.read(1)
        return int(_field("/proc/self/io", "syscr")) - before


def _processes() -> dict:
    """Names of the processes that are shown, and how many threads of the kernel's own: those have no command line."""
    pids = [pid for pid in _folder("/proc") if pid.isdigit()]
    programs = [pid for pid in pids if _first_line(f"/proc/{pid}/cmdline")]
    return {
        "processes": [_first_line(f"/proc/{pid}/comm") for pid in programs],
        "kernel_threads": len(pids) - len(programs),
    }


def _folder(path: str) -> list[str]:
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def _first_line(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.readline().strip()
    except (FileNotFoundError, ProcessLookupError):  # no such file in this box, or the process has just ended
        return None


def _field(path: str, name: str, separator: str = ":") -> str | None:
    """The value of the first line `name: value`."""
    if not os.path.exists(path):
        return None
    with open(path) as file:
        for line in file:
            key, _, value = line.partition(separator)
            if key.strip() == name:
                return value.strip().strip('"')
    return None

# It starts itself again for what happens inside, as engines do; the limits are on a group above that of the command.
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from syscalls import DETACH, NEW_MOUNTS, NEW_NAME, NEW_PIDS, PRIVATE, RECURSIVE, mount, pivot_root, umount, unshare


class Groups:
    """A group with the limits, and one in it for the processes."""

    def __init__(self, memory, processes):
        self.outer = Path(tempfile.mkdtemp(prefix="container-", dir="/sys/fs/cgroup"))
        (self.outer / "memory.max").write_text(memory)
        (self.outer / "memory.swap.max").write_text("0")
        (self.outer / "pids.max").write_text(processes)
        (self.outer / "cgroup.subtree_control").write_text("+memory +pids")
        self.inner = self.outer / "inner"
        self.inner.mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(FileNotFoundError):
            (self.outer / "cgroup.kill").write_text("1")
        self.inner.rmdir()
        self.outer.rmdir()


def outside(root, name, memory, processes, *command):
    with Groups(memory, processes) as groups:
        first = [sys.executable, __file__, "--inside", str(groups.inner), root, name, *command]
        process = subprocess.Popen(first)
        signal.signal(signal.SIGTERM, lambda *_: process.kill())
        status = process.wait()
    return status if status >= 0 else 128 + -status


def inside(group, root, name, *command):
    (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    unshare(NEW_PIDS | NEW_MOUNTS | NEW_NAME)
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status if status >= 0 else 128 - status
    socket.sethostname(name)
    mount(None, "/", None, PRIVATE | RECURSIVE)
    mount("proc", f"{root}/proc", "proc", 0)
    mount("tmpfs", f"{root}/tmp", "tmpfs", 0)
    os.chdir(root)
    pivot_root(".", ".")
    umount(".", DETACH)
    os.execvp(command[0], command)


if sys.argv[1] == "--inside":
    sys.exit(inside(*sys.argv[2:]))
sys.exit(outside(*sys.argv[1:]))

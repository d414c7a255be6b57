"""What runs in each box of lab 04: it says what the box's kernel shows it, and dresses the box up when told to.

It prints what the book's workload prints when it is ready, so that the same runtimes start it. Then each line of its input
is a JSON object, answered by a line `workload: answer JSON`: {"look": PATH}, or {"release": …, "host_name": …, "write": …,
"cover": …}.
"""

import ctypes
import json
import os
import socket
import stat
import sys

BIND = 1 << 12  # MS_BIND, linux/mount.h
UNAME_26 = 0x20000  # linux/personality.h: system call uname tells an old release

libc = ctypes.CDLL(None, use_errno=True)


def look(path: str) -> str | None:
    """A file's text, a link's target, the names in a folder; "uname" for the system call; None where there is nothing."""
    if path == "uname":
        return " ".join(os.uname())
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind) and path.startswith("/proc/"):
            return os.readlink(path)
        if os.path.isdir(path):
            return "\n".join(sorted(os.listdir(path)))
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), errors="replace") as file:
            return file.read(1 << 14)
    except OSError:
        return None


def dress(release: bool = False, host_name: str = "", write: dict | None = None, cover: dict | None = None) -> None:
    """Make the box look like another.

    Args:
        release: let the system call uname tell another release.
        host_name: the new one, in a machine of its own.
        write: path -> text of files to write.
        cover: path -> text to be read there from now on, in a machine of its own.
    """
    if release and libc.personality(UNAME_26) < 0:
        raise OSError(ctypes.get_errno(), "personality")
    if host_name:
        socket.sethostname(host_name)
    for path, text in (write or {}).items():
        with open(path, "w") as file:
            file.write(text)
    for path, text in (cover or {}).items():
        instead = "/dev/" + path.replace("/", "-")  # the one folder of a restored machine that can be written to
        with open(instead, "w") as file:
            file.write(text)
        if libc.mount(instead.encode(), path.encode(), None, BIND, None) < 0:
            raise OSError(ctypes.get_errno(), f"mount {path}")


print("workload: started", flush=True)
print("workload: ready to be asked", flush=True)
print("workload: identity {}", flush=True)
for line in sys.stdin:  # ends when whoever started us is gone
    if line.strip() == "identity":
        print("workload: identity {}", flush=True)
        continue
    asked = json.loads(line) if line.strip() else {"look": "uname"}
    said = look(asked["look"]) if "look" in asked else dress(**asked)
    print("workload: answer", json.dumps(said), flush=True)

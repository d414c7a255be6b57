"""What the checks of lab 05 let container.py run: python3 -c THIS NONCE look|hog|bomb|daemon ARGUMENTS; answers in JSON."""

import contextlib
import json
import os
import signal
import socket
import sys
import time

MIB = 1 << 20
STALLED_S = 4
"""Who is neither given memory nor killed for so long is held up, and not limited."""


def answer(**facts: object) -> None:
    print(json.dumps(facts | {"nonce": sys.argv[1]}), flush=True)


def read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return None


def look(status: str) -> None:
    """Say what is to be seen here, wait until that has been read, and end with `status`."""
    mounts = [line.split()[4] for line in (read("/proc/self/mountinfo") or "").splitlines()]
    facts = {
        "pid": os.getpid(),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "name": socket.gethostname(),
        "mounts": mounts,
    }
    places = {f"{mount.rstrip('/')}{tail}" for mount in [*mounts, "/"] for tail in ("/secret", "/outside/secret")}
    facts["found"] = next((place for place in sorted(places) if read(place)), None)
    facts["escaped"] = None if facts["found"] else escaped()
    answer(**facts)
    sys.stdin.read()
    sys.exit(int(status))


def escaped() -> str | None:
    """What a program finds that leaves a chroot: it makes another one below it, and so stands outside of its own root."""
    try:
        os.makedirs("/tmp/deeper", exist_ok=True)
        os.chroot("/tmp/deeper")
        for _ in range(64):
            os.chdir("..")
        os.chroot(".")
    except PermissionError:
        return None  # it may not even try
    return read("/outside/secret")


def hog(processes: str, mib: str) -> None:
    """Let each of several processes take and keep so much memory; say how many of them have it, and how many are dead."""
    said, say = os.pipe()
    os.set_blocking(said, False)
    children = []
    for number in range(int(processes)):
        child = os.fork()
        if not child:
            held = []
            for _ in range(int(mib)):
                held.append(b"x" * MIB)
                os.write(say, bytes([number]))
            signal.pause()
        children.append(child)
    got, dead, since = dict.fromkeys(range(len(children)), 0), set(), time.monotonic()
    while any(got[number] < int(mib) for number in got.keys() - dead) and time.monotonic() < since + STALLED_S:
        time.sleep(0.01)
        before = sum(got.values()), len(dead)
        with contextlib.suppress(BlockingIOError):
            for number in os.read(said, 1000):
                got[number] += 1
        ended = os.WEXITED | os.WNOWAIT | os.WNOHANG
        dead = {number for number, child in enumerate(children) if os.waitid(os.P_PID, child, ended)}
        if before != (sum(got.values()), len(dead)):
            since = time.monotonic()
    answer(have=sum(got[number] == int(mib) for number in got.keys() - dead), killed=len(dead))
    for child in children:
        os.kill(child, signal.SIGKILL)


def bomb(most: str) -> None:
    """Start processes that wait, up to `most`, and say how many there were."""
    started, refused = 0, False
    try:
        while started < int(most):
            if not os.fork():
                signal.pause()
            started += 1
    except OSError:
        refused = True
    answer(started=started, refused=refused)


def daemon() -> None:
    """Leave a process behind that lives on."""
    if not os.fork():
        os.setsid()
        time.sleep(60)
        os._exit(0)
    answer()


{"look": look, "hog": hog, "bomb": bomb, "daemon": daemon}[sys.argv[2]](*sys.argv[3:])

"""Use a resource on request, and report.

Like the workload it prints `workload: started`, `workload: ready ...`, `workload: identity`; then it carries out each line of
its input and answers with `workload: answer RESULT`, RESULT being JSON:

    hold MIB            take that much memory, one MiB at a time, and keep it   {"held_mib": 64}
    free                give all of it back                                     {"held_mib": 0}
    burn N SECONDS      keep N processes busy for so long                       {"cpu_seconds": 1.9, "sees_cpus": 2}
    fork N              start up to N processes that wait                       {"forked": 31, "refused": "EAGAIN"}
    call NAME N         N rounds of a loop with that system call in it          {"calls": 20000}

`hold` prints `workload: holds MIB` as it goes, so that the last one is known when it is killed.
"""

print("workload: started", flush=True)

import errno  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

MIB = 1 << 20
STEP = 4  # MiB between two reports

held: list[bytearray] = []


def hold(mib: str) -> dict:
    for _ in range(int(mib)):
        block = bytearray(MIB)
        block[::4096] = b"x" * len(block[::4096])  # untouched pages are only promised
        held.append(block)
        if len(held) % STEP == 0:
            print(f"workload: holds {len(held)}", flush=True)
    return {"held_mib": len(held)}


def free() -> dict:
    held.clear()
    return {"held_mib": 0}


def burn(workers: str, seconds: str) -> dict:
    children = []
    for _ in range(int(workers)):
        child = os.fork()
        if not child:
            end = time.monotonic() + float(seconds)
            while time.monotonic() < end:
                pass
            os._exit(0)
        children.append(child)
    used = 0.0
    for child in children:
        _, _, usage = os.wait4(child, 0)
        used += usage.ru_utime + usage.ru_stime
    return {"cpu_seconds": round(used, 3), "sees_cpus": os.cpu_count()}


def fork(count: str) -> dict:
    children, refused = [], None
    for _ in range(int(count)):
        try:
            child = os.fork()
        except OSError as error:
            refused = errno.errorcode[error.errno]
            break
        if not child:
            signal.pause()
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"forked": len(children), "refused": refused}


def call(name: str, count: str) -> dict:
    rounds = range(int(count))
    if name == "getppid":
        getppid = os.getppid
        for _ in rounds:
            getppid()
    elif name == "stat":
        stat = os.stat
        for _ in rounds:
            stat("/app/app.py")
    elif name == "nothing":
        nothing = globals  # called as the others are, and it does not call the kernel
        for _ in rounds:
            nothing()
    return {"calls": len(rounds)}


COMMANDS = {"hold": hold, "free": free, "burn": burn, "fork": fork, "call": call}

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("workload: ready to be asked", flush=True)
print(f"workload: identity {json.dumps({'pid': os.getpid(), 'kernel': os.uname().release})}", flush=True)
for line in sys.stdin:
    if words := line.split():
        print(f"workload: answer {json.dumps(COMMANDS[words[0]](*words[1:]))}", flush=True)

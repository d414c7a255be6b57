"""Runs container.py for the checks of lab 05, in the container that machine.py has made a machine; sees it from outside.

A line of JSON in, one out. First {"files": {NAME: TEXT}, "secret": TEXT}, then for each attempt
{"arguments": LIST}, answered by what it printed, its exit status, and what was to be seen outside before, during and after.
"""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path("/lab/container.py")
CGROUPS = Path("/sys/fs/cgroup")
VERSION_1 = (CGROUPS / "memory").is_dir()
MOST_BYTES = 1 << 16
LEFT_S = 1
"""How long what has ended may take to be gone."""


def state() -> dict:
    """What this machine has: its name, its mounts, its groups, its processes."""
    while reap():
        pass
    trees = [CGROUPS / kind for kind in ("memory", "pids")] if VERSION_1 else [CGROUPS]
    return {
        "name": socket.gethostname(),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "groups": sorted(folder for tree in trees for folder, _, _ in os.walk(tree)),
        "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    }


def held(groups: list[str]) -> dict[str, str]:
    """Of each control group, how many processes it has and to what it holds them."""
    found = {}
    for group in map(Path, groups):
        with contextlib.suppress(FileNotFoundError):  # it is none, or gone meanwhile
            limits = [group / name for name in ("memory.limit_in_bytes", "memory.max", "pids.max")]
            said = [f"{len((group / 'cgroup.procs').read_text().split())} processes"]
            said += [f"{limit.name} {limit.read_text().strip()}" for limit in limits if limit.exists()]
            found[str(group)] = " and ".join(said)
    return found


def reap() -> bool:
    """Take leave of one orphan: they come to us, as we are this machine's first process."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def attempt(arguments: list[str], seconds: float) -> dict:
    before, during, output, trouble = state(), None, b"", ""
    process = subprocess.Popen(
        ["python3", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=PROGRAM.parent,
    )
    deadline = time.monotonic() + seconds
    while True:
        if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            trouble = f"it did not end within {seconds:g} s"
            break
        chunk = os.read(process.stdout.fileno(), 1 << 12)
        output += chunk
        if not chunk:
            break
        if len(output) > MOST_BYTES:
            trouble = f"it printed more than {MOST_BYTES >> 10} KiB"
            break
        if during is None and b"\n" in output:
            during = state()
            during["limits"] = held([group for group in during["groups"] if group not in before["groups"]])
            process.stdin.close()  # the command waits for this where it has to be seen
    try:
        status = process.wait(0 if trouble else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        status, trouble = None, trouble or f"it closed its output and did not end within {seconds:g} s"
    end = time.monotonic() + LEFT_S
    while (after := state()) != before and time.monotonic() < end and not trouble:
        time.sleep(0.02)
    clean(before)
    process.stdin.close()
    process.stdout.close()
    text = output.decode(errors="replace")
    return {"status": status, "output": text, "trouble": trouble, "before": before, "during": during, "after": after}


def clean(before: dict) -> None:
    """Make it as it was, so that one mistake does not look like another in the next attempt."""
    while len(state()["processes"]) > len(before["processes"]):
        os.kill(-1, 9)  # all but ourselves
        time.sleep(0.01)
    now = state()
    if now["name"] != before["name"]:
        socket.sethostname(before["name"])
    for mount in sorted(set(now["mounts"]), reverse=True):
        for _ in range(now["mounts"].count(mount) - before["mounts"].count(mount)):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    for group in reversed(now["groups"]):
        if group not in before["groups"]:
            os.rmdir(group)


given = json.loads(sys.stdin.readline())
PROGRAM.parent.mkdir()
for name, text in given["files"].items():
    (PROGRAM.parent / name).write_text(text)
Path("/outside/secret").write_text(given["secret"])
print("outside: ready", flush=True)
for line in sys.stdin:
    try:
        print(json.dumps(attempt(**json.loads(line))), flush=True)
    except Exception as error:  # what it took away from this machine, we lack as well
        print(f"{type(error).__name__}: {error}", flush=True)

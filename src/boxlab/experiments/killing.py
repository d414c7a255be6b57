"""Beside a second engine: runs a container, kills one of the processes around it, and prints what is alive then, as one line of JSON.

Alone in its file and with nothing but Python's own library, since it runs in the second engine's container: the arguments are an
image and whom to kill.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

NAME, PORT = "victim", 8000

PROGRAM = """
import http.server, signal, sys

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
http.server.HTTPServer(("", int(sys.argv[1])), Answers).serve_forever()
"""
"""Answers, and prints what it was asked; ends when it is told to."""

WAIT_S = 60
"""How long an event may take to come; only what never comes takes as long."""

ASK_S = 0.05
"""How long until it is asked again whether it has come."""


def until(happens: Callable[[], bool]) -> bool:
    """Whether something happens before the wait is over."""
    deadline = time.monotonic() + WAIT_S
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(ASK_S)
    return True


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True)


def inspect(what: str) -> str:
    """A part of what the engine says of the container, and nothing while it doesn't answer."""
    return docker("inspect", "--format", what, NAME).stdout.strip()


def answers(host: str, path: str = "") -> bool:
    """Whether the program answers at an address."""
    try:
        urllib.request.urlopen(f"http://{host}:{PORT}/{path}", timeout=5).close()
    except OSError:  # refused, reset, or no answer
        return False
    return True


def facts(pid: int) -> tuple[str, int, str] | None:
    """State, parent and start time of a process; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), fields[19]


def parent(pid: int) -> int:
    """The parent of a process that there is."""
    known = facts(pid)
    assert known
    return known[1]


def called(name: str) -> list[int]:
    """The processes with that name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has just ended
            if entry.read_text().strip() == name:
                found.append(int(entry.parent.name))
    return found


def life(pid: int) -> Callable[[], bool]:
    """A function that says whether this very process is still alive; a zombie isn't."""
    born = facts(pid)

    def alive() -> bool:
        now = facts(pid)
        return now is not None and born is not None and now[2] == born[2] and now[0] not in "ZX"

    return alive


def settled() -> bool:
    """Whether the engine answers, and either can reach the container or knows that it has ended."""
    running = inspect("{{.State.Running}}")
    return running == "false" or (running == "true" and docker("exec", NAME, "true").returncode == 0)


def address() -> str:
    """This machine's own address on its network, as another machine would use it."""
    return subprocess.check_output(["hostname", "--all-ip-addresses"], text=True).split()[0]


def play(image: str, whom: str) -> dict[str, float]:
    """Kill one process around a container, and see what is alive once the engine is at rest again, and after how many seconds."""
    with tempfile.TemporaryFile("a+") as screen:  # so that what is read moves no place where is written
        words = ["run", "--name", NAME, "--publish", f"{PORT}:{PORT}", image, "python3", "-c", PROGRAM, str(PORT)]
        command = subprocess.Popen(["docker", *words], stdout=screen, stderr=subprocess.STDOUT)
        try:
            if not until(lambda: answers("127.0.0.1")):
                screen.seek(0)
                raise SystemExit(f"the container does not answer: {screen.read()}")
            program, own = int(inspect("{{.State.Pid}}")), inspect("{{.NetworkSettings.Networks.bridge.IPAddress}}")
            victims = {
                "command": [command.pid],
                "dockerd": called("dockerd"),
                "containerd": called("containerd"),
                "shim": [parent(program)],
                "proxy": called("docker-proxy"),
                "program": [program],
            }[whom]
            lives, alive = [life(pid) for pid in victims], life(program)
            began = time.monotonic()
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            if not victims or not until(lambda: not any(one() for one in lives)):
                raise SystemExit(f"{whom}: {victims} cannot be killed")
            if not until(settled):
                raise SystemExit("the engine does not come to rest")
            seconds = time.monotonic() - began
            word = secrets.token_hex(8)
            if alive() and not answers(own, word):
                raise SystemExit("the program is alive and does not answer")

            def shown() -> bool:
                screen.seek(0)
                return word in screen.read()

            if alive():
                logged = until(lambda: word in docker("logs", NAME).stdout)
                until(lambda: shown() or command.poll() is not None)
                watching = command.poll() is None and shown()
            else:
                logged = False
                watching = not until(lambda: command.poll() is not None)
            return {
                "seconds": seconds,
                "program": alive(),
                "logs": logged,
                "localhost": answers("127.0.0.1"),
                "address": answers(address()),
                "command": watching,
            }
        finally:
            docker("rm", "--force", NAME)
            command.kill()
            command.wait()


if __name__ == "__main__":
    print(json.dumps(play(*sys.argv[1:])))

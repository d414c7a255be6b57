"""Real boxes for bench.py: one container, started with three kinds of network. It takes some ten seconds.

python3 real.py       needs the command `docker` and the book's image, which `boxlab prepare` builds
"""

import queue
import secrets
import subprocess
import threading

import bench

IMAGE = "containers-measured/workload"
"""It ends with its input, which is ours: so a container ends with this program, whatever becomes of it."""


class Box:
    """A container that was started."""

    def __init__(self, network: str):
        self._name = f"startup-{secrets.token_hex(4)}"
        command = ["docker", "run", "--rm", "--interactive", "--name", self._name, "--network", network, IMAGE]
        self._docker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._docker.stdout:
            self._lines.put(line)
        self._lines.put("")

    def line(self, timeout: float | None = None) -> str | None:
        """The next line, as soon as it is there; None if none comes in time; "" once the box has ended."""
        try:
            line = self._lines.get(timeout=None if timeout is None else max(0, timeout))
        except queue.Empty:
            return None
        if not line:
            self._lines.put("")
        return line

    def stop(self) -> None:
        """End it, and wait until nothing of it is left."""
        subprocess.run(["docker", "rm", "--force", self._name], capture_output=True)
        self._docker.communicate()


if __name__ == "__main__":
    rows = bench.measure(
        {f"network {kind}": lambda kind=kind: Box(kind) for kind in ("none", "host", "bridge")}, rounds=10
    )
    for row in rows:
        print(row)
    for name, facts in bench.summary(rows).items():
        print(name, facts)

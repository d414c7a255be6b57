"""Real boxes for bench.py: one container, started with three kinds of network. It takes some ten seconds.

.venv/bin/python work/06-startup/real.py
"""

import time

import bench

from boxlab import images
from boxlab.runtimes.spawn import EngineContainer


class Box:
    """A container that was started; it carries our label, and `boxlab clean` finds it."""

    def __init__(self, image: str, network: str):
        self._container = EngineContainer(image, network_mode=network)
        self._text, self._ended = b"", False

    def line(self, timeout: float = 60) -> str | None:
        """The next line, as soon as it is there; None if none comes in time; "" once the box has ended."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._text and not self._ended:
            chunk = self._container.read(deadline - time.monotonic())
            if chunk is None:
                return None
            self._text, self._ended = self._text + chunk, not chunk
        line, end, self._text = self._text.partition(b"\n")
        return (line + end).decode()

    def stop(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._container.stop(grace_s=0)


def boxes() -> dict:
    image = images.ensure("workload").tag
    return {f"network {kind}": lambda kind=kind: Box(image, kind) for kind in ("none", "host", "bridge")}


if __name__ == "__main__":
    rows = bench.measure(boxes(), rounds=10)
    for row in rows:
        print(row)
    for name, facts in bench.summary(rows).items():
        print(name, facts)

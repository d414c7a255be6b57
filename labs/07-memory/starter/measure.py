"""Runs a few containers of one program and reads what they take, for predict.py.

    .venv/bin/python work/07-memory/measure.py      1, 2 and 4 of them, what you predict for 8, and then 8 of them

It takes some ten seconds, and refuses where less than 2 GiB of memory are free.
"""

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from boxlab import engine, images, meter, progress
from boxlab.errors import BoxlabError
from boxlab.experiments import engine_figure
from boxlab.interrupts import deferred
from boxlab.runtimes import Box
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

MIB = 1 << 20

OWN_MIB, FILE_MIB = 12, 24
"""What each container of the program fills with data of its own, and how much it maps of a file that all share."""

PROGRAM = """
import mmap, sys
own, mapped = (int(size) << 20 for size in sys.argv[1:])
data = b"x" * own
with open("/shared/weights", "a+b") as file:
    if not file.tell():
        file.write(b"w" * mapped)
        file.flush()
    weights = mmap.mmap(file.fileno(), mapped, prot=mmap.PROT_READ)
for page in range(0, mapped, 4096):
    weights[page]
print("holds its memory", flush=True)
sys.stdin.read()
"""

NEEDED = 2048 * MIB
READY_S = 60


def measure(counts: Iterable[int], own_mib: int, file_mib: int) -> list[dict]:
    """Run these numbers of containers, one number after the other, and read what they take. All sizes are bytes.

    Returns:
        For each number a reading:
        containers: how many ran.
        processes: of each process that runs for their sake its name, role (application, shim), rss, pss and uss.
        docker_stats: of each container what `docker stats` shows.
        available_before, available: what the machine could still give out before any of them ran, and now.

    Raises:
        BoxlabError: the machine is too full, a container does not start, or the engine is in the way.
    """
    counts, image = list(counts), images.ensure("base").tag
    readings: list[dict] = []
    running: list[Box] = []
    with meter.open_meter() as gauge, ExitStack() as stack, progress.bar("containers", total=len(counts)) as bar:
        before = gauge.read().available
        if before < NEEDED:
            raise BoxlabError(
                f"{before // MIB} MiB of memory are free, and {NEEDED // MIB} are wanted", "close something"
            )
        shared = stack.enter_context(volume())
        stack.callback(stop_all, running)
        for count in counts:
            while len(running) > count:
                running.pop().stop()
            while len(running) < count:
                start(running, image, shared, own_mib, file_mib)
            reading = gauge.read(*running)
            readings.append(
                {
                    "containers": count,
                    "processes": reading.processes,
                    "docker_stats": [engine_figure(cgroup) for cgroup in reading.cgroups],
                    "available_before": before,
                    "available": reading.available,
                }
            )
            bar.update()
    return readings


@contextmanager
def volume() -> Iterator[str]:
    """A place for the file that our containers share, and no others; gone afterwards."""
    made = None
    try:
        with deferred(), engine.plain_errors():  # or Ctrl-C might strike when it exists and we do not know of it yet
            name = f"containers-measured-{secrets.token_hex(6)}"
            made = engine.connect().volumes.create(name, labels=engine.labels())
        yield made.name
    finally:
        if made:
            with deferred(), engine.plain_errors():
                made.remove()


def start(running: list[Box], image: str, shared: str, own_mib: int, file_mib: int) -> None:
    """Add to `running` a container that holds its memory."""
    command = ["python3", "-c", PROGRAM, str(own_mib), str(file_mib)]
    limits = {"network_mode": "none", "mem_limit": 256 * MIB, "pids_limit": 64}
    with deferred():
        spawned = EngineContainer(image, command, binds=[f"{shared}:/shared"], **limits)
        console = Console(spawned, {"ready": "holds its memory"}, time.monotonic())
        running.append(Box("container", console, spawned, {}, ""))
    running[-1].console.wait_for("ready", READY_S)


def stop_all(running: list[Box]) -> None:
    with ExitStack() as stack:  # one that fails does not keep the others
        while running:
            stack.callback(running.pop().stop)


def main() -> None:
    import predict

    readings = measure([1, 2, 4, 4, 2, 1], OWN_MIB, FILE_MIB)
    for reading in readings:
        sums = {name: sum(process[name] for process in reading["processes"]) / MIB for name in ("rss", "pss", "uss")}
        said = ", ".join(f"{name} {size:.1f}" for name, size in sums.items())
        print(f"{reading['containers']} containers: {said} MiB in sum; you say {predict.total(reading):.1f}")
    print(f"you predict for 8: {predict.predict(readings, 8):.1f} MiB")
    (eight,) = measure([8], OWN_MIB, FILE_MIB)
    print(f"8 containers: you say {predict.total(eight):.1f} MiB")
    count, at_least = predict.fits(readings, 1024)
    print(f"you say that 1024 MiB hold {'at least ' if at_least else ''}{count}")


if __name__ == "__main__":
    main()

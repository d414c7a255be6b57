"""`make bench`: what is promised to be fast, timed on this machine; and what the library itself costs.

Not a test: times differ between machines. Each line says the promise that it is held against.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from docker.errors import NotFound
from rich.console import Console
from rich.table import Table

from boxlab import engine, experiments, paths, progress, records, runtimes, stats

BIN = paths.ROOT / ".venv" / "bin"
PAIRS = 40


def seconds_of(*command: str) -> float:
    """Wall-clock time of one command, in seconds."""
    began = time.monotonic()
    subprocess.run(command, cwd=paths.ROOT, check=True, capture_output=True)
    return time.monotonic() - began


def bare_start(image: str) -> float:
    """The same container start by the SDK's calls alone: seconds from create to the line with the prediction."""
    api = engine.connect().api
    workload = runtimes.Workload()
    memory = workload.memory_mib << 20
    began = time.monotonic()
    host = api.create_host_config(
        auto_remove=True, network_mode="none", nano_cpus=workload.cpus * 10**9, mem_limit=memory, memswap_limit=memory
    )
    container = api.create_container(image, stdin_open=True, labels=engine.labels(), host_config=host)["Id"]
    try:
        attached = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        api.start(container)
        seen = b""
        while b"workload: ready" not in seen:
            seen += os.read(attached.fileno(), 1 << 16)
        return time.monotonic() - began
    finally:
        try:
            api.remove_container(container, force=True)
            api.wait(container, condition="removed")
        except NotFound:
            pass  # it removes itself


def with_library(runtime: runtimes.Runtime) -> float:
    with runtime.start(runtimes.Workload()) as box:
        return box.marks["ready"]


def overhead() -> tuple[stats.Estimate, stats.Estimate]:
    """Ratio of a start through the library to a bare one, and of bare ones among themselves: interleaved, in drawn order."""
    runtime = runtimes.named("container")
    runtime.prepare(runtimes.Workload())
    image = "containers-measured/workload"
    arms: dict[str, Callable[[], float]] = {
        "library": lambda: with_library(runtime),
        "bare": lambda: bare_start(image),
        "bare again": lambda: bare_start(image),
    }
    times = {name: [] for name in arms}
    with progress.bar("overhead", total=(PAIRS + 1) * len(arms), unit="start") as bar:
        for number in range(PAIRS + 1):
            for name in random.sample(list(arms), len(arms)):
                took = arms[name]()
                if number:  # the first round only warms up
                    times[name].append(took)
                bar.update()
    return stats.ratio(times["library"], times["bare"]), stats.ratio(times["bare again"], times["bare"])


def main() -> None:
    table = Table("what", "promise", "measured", box=None)
    table.add_row(
        "boxlab doctor",
        "under 2 s",
        records.seconds(np.median([seconds_of(BIN / "boxlab", "doctor") for _ in range(5)])),
    )
    table.add_row("unit tests", "under 10 s", records.seconds(seconds_of("make", "--silent", "unit")))
    table.add_row(
        "images, nothing to do",
        "nothing",
        records.seconds(np.median([seconds_of(BIN / "boxlab", "prepare") for _ in range(3)])),
    )
    began = time.monotonic()
    run = experiments.startup(profile="quick", save_as="bench-startup")
    table.add_row("startup experiment, quick", "under 180 s", records.seconds(time.monotonic() - began))
    library, null = overhead()
    table.add_row(
        "container start, library / bare",
        "under 1.05",
        f"{library.value:.3f} ({library.low:.3f} – {library.high:.3f}), n = {PAIRS}",
    )
    table.add_row(
        "container start, bare / bare", "about 1", f"{null.value:.3f} ({null.low:.3f} – {null.high:.3f}), n = {PAIRS}"
    )
    console = Console()
    console.print(table)
    console.print(run.caption())


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: what is promised to be fast, timed on this machine; and what the library itself costs.

Not a test: times differ between machines. Each line says the promise that it is held against.
"""

import contextlib
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import toy_lab
from docker.errors import NotFound
from rich.console import Console
from rich.table import Table

from boxlab import engine, experiments, paths, progress, records, runtimes, stats
from boxlab.cli import EXPERIMENTS
from boxlab.errors import BoxlabError
from boxlab.labs import lab, runner, verify
from boxlab.runtimes.onion import Command
from boxlab.runtimes.spawn import HostProcess

BIN = paths.ROOT / ".venv" / "bin"
PAIRS = 40
SLOWDOWN = 0.2
BLOCKS, BLOCK, WARM_UPS = 4, 10, 1
STALLED_S = 60


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
        with contextlib.closing(attached._response):
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


def null_control() -> dict[str, stats.Estimate]:
    """Ratios of a start to that of the same container, and to that of one that is a fifth slower on purpose."""

    class Slowed(runtimes.Container):
        def _spawn(self, workload: runtimes.Workload):
            time.sleep(delay)
            return super()._spawn(workload)

    one, same = runtimes.Container(kind="a"), runtimes.Container(kind="same")
    delay = experiments.startup([one], profile="quick").median("a").value * SLOWDOWN
    run = experiments.startup([one, same, Slowed(kind="slowed")], rounds=PAIRS, profile="paper")
    return {kind: run.ratio(kind, "a") for kind in ("same", "slowed")}


def agreement() -> tuple[stats.Estimate, stats.Estimate]:
    """Median seconds of one and the same `docker run` to its end: by hyperfine and by us, in alternating blocks of one run.

    Raises:
        BoxlabError: hyperfine is not installed.
    """
    if not shutil.which("hyperfine"):
        raise BoxlabError("hyperfine is not installed", "`sudo apt-get install hyperfine`")
    runtime = Command()
    runtime.prepare(runtimes.Workload())
    command = runtime.command(runtimes.Workload())
    theirs, ours = [], []
    with progress.bar("agreement", total=2 * BLOCKS, unit="block") as bar, tempfile.TemporaryDirectory() as folder:
        for block in range(BLOCKS):
            by_peer, by_us = (
                (lambda: theirs.extend(_hyperfine(command, folder))),
                (lambda: ours.extend(_stopwatch(command))),
            )
            for measure in (by_peer, by_us) if block % 2 else (by_us, by_peer):
                measure()
                bar.update()
    return stats.median(theirs), stats.median(ours)


def _hyperfine(command: list[str], folder: str) -> list[float]:
    report = Path(folder) / "report.json"
    options = ["--shell=none", "--style=none", f"--warmup={WARM_UPS}", f"--runs={BLOCK}", f"--export-json={report}"]
    subprocess.run(["hyperfine", *options, shlex.join(command)], check=True, capture_output=True)
    return json.loads(report.read_text())["results"][0]["times"]


def _stopwatch(command: list[str]) -> list[float]:
    """The same by what our experiments are made of: a process of the library, read until it has ended, on its clock."""
    times = []
    for number in range(WARM_UPS + BLOCK):
        began = time.monotonic()
        process = HostProcess(command, dict(os.environ))
        try:
            while process.read(STALLED_S):
                pass
            reason = process.exit_reason()
            took = time.monotonic() - began
        finally:
            process.stop(grace_s=0)
        if reason != "exit status 0":
            raise BoxlabError(f"{shlex.join(command)}: {reason}")
        if number >= WARM_UPS:
            times.append(took)
    return times


def runner_alone() -> float:
    """Median seconds of a lab's check that runs no program and asks no engine: what the runner itself costs."""
    checks = "from boxlab.labs import check\n@check(points=3)\ndef nothing(work):\n    'Nothing.'\n"
    with tempfile.TemporaryDirectory() as folder:
        toy = toy_lab.make(Path(folder), checks)
        return float(np.median([runner.run(toy, toy.solution, 1).seconds for _ in range(5)]))


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
    table.add_row("check of a lab that does nothing", "under 0.3 s", records.seconds(runner_alone()))
    for each in lab.every():
        proof = verify.verify(each)
        warm = [took for name, took in proof.seconds.items() if "warm" in name]
        table.add_row(f"lab {each.id}: check, warm", f"under {each.seconds:g} s", records.seconds(min(warm)))
        table.add_row(f"lab {each.id}: verify", "all labs under 360 s", records.seconds(sum(proof.seconds.values())))
    total = 0.0
    for name in EXPERIMENTS:
        began = time.monotonic()
        run = getattr(experiments, name.replace("-", "_"))(profile="quick")
        took = time.monotonic() - began
        total += took
        table.add_row(f"experiment {name}, quick", "", records.seconds(took))
    table.add_row("all experiments, quick", "under 360 s", records.seconds(total))
    library, null = overhead()
    table.add_row(
        "container start, library / bare",
        "under 1.05",
        f"{library.value:.3f} ({library.low:.3f} – {library.high:.3f}), n = {PAIRS}",
    )
    table.add_row(
        "container start, bare / bare", "about 1", f"{null.value:.3f} ({null.low:.3f} – {null.high:.3f}), n = {PAIRS}"
    )
    ratios = null_control()
    for kind, promise in (("same", "holds 1"), ("slowed", f"holds {1 + SLOWDOWN}, above 1")):
        e = ratios[kind]
        table.add_row(
            f"container start, {kind} / itself", promise, f"{e.value:.3f} ({e.low:.3f} – {e.high:.3f}), n = {PAIRS}"
        )
    peer, own = agreement()
    for who, e in (("hyperfine", peer), ("our stopwatch", own)):
        interval = f"({records.seconds(e.low)} – {records.seconds(e.high)}), n = {BLOCKS * BLOCK}"
        table.add_row(f"docker run, by {who}", "intervals overlap", f"{records.seconds(e.value)} {interval}")
    console = Console()
    console.print(table)
    console.print(f"intervals overlap: {'yes' if peer.low <= own.high and own.low <= peer.high else 'NO'}")
    console.print(run.caption())


if __name__ == "__main__":
    sys.exit(main())

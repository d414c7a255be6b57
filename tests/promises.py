"""What is promised to be fast, and what the library itself costs: each part of `make bench` measures some of it."""

import contextlib
import json
import os
import random
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import toy_lab
from docker.errors import APIError, NotFound

from boxlab import catalogue, engine, experiments, formatting, images, outputs, paths, progress, runtimes, stats
from boxlab.errors import BoxlabError
from boxlab.labs import lab, runner, verify
from boxlab.runtimes.onion import Command
from boxlab.runtimes.spawn import HostProcess

BIN = paths.ROOT / ".venv" / "bin"
PAIRS = 40
SLOWDOWN = 0.2
BLOCKS, BLOCK, WARM_UPS = 4, 10, 1
STALLED_S = 60


ALL_S = 360
"""Seconds that all experiments may take together, and all labs' proofs."""

NOTEBOOK_S = dict.fromkeys(("10", "11", "12", "13", "14"), 120) | {"15": 180}
"""Seconds that a notebook of Part III may take by profile `quick`, by its number."""


@dataclass(frozen=True)
class Line:
    """One thing that was measured.

    Attributes:
        promise: what it is held against, in words; for a time, `budget_s` says it.
        budget_s: seconds that it may take where work and container starts take what they took where it was promised.
    """

    what: str
    measured: str
    promise: str = ""
    seconds: float | None = None
    budget_s: float | None = None


def timed(what: str, seconds: float, budget_s: float | None = None) -> Line:
    return Line(what, formatting.seconds(seconds), "", float(seconds), budget_s)


def seconds_of(*command: object) -> float:
    """Wall-clock time of one command, in seconds.

    Raises:
        BoxlabError: it fails.
    """
    words = [*map(str, command)]
    began = time.monotonic()
    done = subprocess.run(words, cwd=paths.ROOT, capture_output=True, text=True)
    took = time.monotonic() - began
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["nothing"]
        raise BoxlabError(f"{shlex.join(words)}: exit status {done.returncode}; its last line: {said[-1]}")
    return took


def bare_start(image: str = f"{images.PREFIX}workload", command: list[str] | None = None) -> float:
    """The same container start by the SDK's calls alone: seconds from create to the line with the prediction."""
    api = engine.connect().api
    workload = runtimes.Workload()
    memory = workload.memory_mib << 20
    began = time.monotonic()
    host = api.create_host_config(
        auto_remove=True, network_mode="none", nano_cpus=workload.cpus * 10**9, mem_limit=memory, memswap_limit=memory
    )
    container = api.create_container(image, command, stdin_open=True, labels=engine.labels(), host_config=host)["Id"]
    try:
        attached = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        with contextlib.closing(attached._response):
            api.start(container)
            seen, socket = b"", getattr(attached, "_sock", attached)
            while b"workload: ready" not in seen:
                if not (more := socket.recv(1 << 16)):  # with the engine's deadline: its file does not block
                    raise BoxlabError(f"a container of {image} has ended before it was ready")
                seen += more
            return time.monotonic() - began
    finally:
        with contextlib.suppress(APIError):  # it removes itself
            api.remove_container(container, force=True)
        with contextlib.suppress(NotFound):
            api.wait(container, condition="removed")


def with_library(runtime: runtimes.Runtime) -> float:
    with runtime.start(runtimes.Workload()) as box:
        return box.marks["ready"]


def overhead() -> tuple[stats.Estimate, stats.Estimate]:
    """Ratio of a start through the library to a bare one, and of bare ones among themselves: interleaved, in drawn order."""
    runtime = runtimes.named("container")
    runtime.prepare(runtimes.Workload())
    arms: dict[str, Callable[[], float]] = {
        "library": lambda: with_library(runtime),
        "bare": bare_start,
        "bare again": bare_start,
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
    call = runtime.command(runtimes.Workload())
    theirs, ours = [], []
    with progress.bar("agreement", total=2 * BLOCKS, unit="block") as bar, tempfile.TemporaryDirectory() as folder:
        for block in range(BLOCKS):
            by_peer, by_us = (
                (lambda: theirs.extend(_hyperfine(*call, folder))),
                (lambda: ours.extend(_stopwatch(*call))),
            )
            for measure in (by_peer, by_us) if block % 2 else (by_us, by_peer):
                measure()
                bar.update()
    return stats.median(theirs), stats.median(ours)


def _hyperfine(command: list[str], environment: dict[str, str], folder: str) -> list[float]:
    report = Path(folder) / "report.json"
    options = ["--shell=none", "--style=none", f"--warmup={WARM_UPS}", f"--runs={BLOCK}", f"--export-json={report}"]
    subprocess.run(["hyperfine", *options, shlex.join(command)], env=environment, check=True, capture_output=True)
    return json.loads(report.read_text())["results"][0]["times"]


def _stopwatch(command: list[str], environment: dict[str, str]) -> list[float]:
    """The same by what our experiments are made of: a process of the library, read until it has ended, on its clock."""
    times = []
    for number in range(WARM_UPS + BLOCK):
        began = time.monotonic()
        process = HostProcess(command, environment)
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


def commands() -> Iterator[Line]:
    """What a reader types most."""
    yield timed("boxlab doctor", np.median([seconds_of(BIN / "boxlab", "doctor") for _ in range(5)]), 2)
    yield timed("boxlab prepare, nothing to do", np.median([seconds_of(BIN / "boxlab", "prepare") for _ in range(3)]))


def unit() -> Iterator[Line]:
    """The tests that need no engine."""
    yield timed("unit tests", seconds_of("make", "--silent", "unit"), 10)


def labs() -> Iterator[Line]:
    """Checks, and the proofs of labs."""
    yield timed("check of a lab that does nothing", runner_alone(), 0.3)
    total = 0.0
    for each in lab.every():
        proof = verify.verify(each)
        if warm := [took for name, took in proof.seconds.items() if "warm" in name]:
            yield timed(f"lab {each.id}: check, warm", min(warm), each.seconds)
        yield timed(f"lab {each.id}: verify", sum(proof.seconds.values()))
        total += sum(proof.seconds.values())
    yield timed("all labs: verify", total, ALL_S)


def all_experiments() -> Iterator[Line]:
    """Each experiment as `quick` runs it."""
    total = 0.0
    for experiment in catalogue.EXPERIMENTS:
        began = time.monotonic()
        experiment.function()(profile="quick")
        total += (took := time.monotonic() - began)
        yield timed(f"experiment {experiment.name}, quick", took)
    yield timed("all experiments, quick", total, ALL_S)


def notebooks() -> Iterator[Line]:
    """Each notebook from its first cell to its last, by profile `quick`."""
    seconds_of(BIN / "boxlab", "prepare", "--chapters")
    environment = os.environ | {"PROFILE": "quick", progress.TERMINAL: ""}
    found = outputs.circumstances(paths.ROOT) | {"profile": "quick"}
    for path in sorted((paths.ROOT / "notebooks").glob("*.ipynb")):
        ran = outputs.run(path, found, environment)
        took = ran["metadata"][outputs.MEASURED]["seconds"]
        yield timed(f"notebook {path.stem}, quick", took, NOTEBOOK_S.get(path.stem[:2]))


def library() -> Iterator[Line]:
    """What a start by the library costs above a bare one."""
    ours, null = overhead()
    yield Line("container start, library / bare", _interval(ours), "under 1.05")
    yield Line("container start, bare / bare", _interval(null), "about 1")


def controls() -> Iterator[Line]:
    """Whether the method finds a difference that there is, and none where there is none."""
    ratios = null_control()
    yield Line("container start, same / itself", _interval(ratios["same"]), "holds 1")
    yield Line("container start, slowed / itself", _interval(ratios["slowed"]), f"holds {1 + SLOWDOWN}, above 1")


def peer() -> Iterator[Line]:
    """The same command by hyperfine and by our stopwatch."""
    theirs, ours = agreement()
    for who, found in (("hyperfine", theirs), ("our stopwatch", ours)):
        interval = f"({formatting.seconds(found.low)} – {formatting.seconds(found.high)}), n = {BLOCKS * BLOCK}"
        yield Line(f"docker run, by {who}", f"{formatting.seconds(found.value)} {interval}")
    yield Line(
        "both intervals", "overlap" if theirs.low <= ours.high and ours.low <= theirs.high else "DO NOT", "overlap"
    )


def _interval(found: stats.Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} – {found.high:.3f}), n = {PAIRS}"


PARTS: dict[str, Callable[[], Iterator[Line]]] = {
    "commands": commands,
    "unit": unit,
    "labs": labs,
    "experiments": all_experiments,
    "notebooks": notebooks,
    "library": library,
    "controls": controls,
    "peer": peer,
}

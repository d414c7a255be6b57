"""How much memory does each further instance take, and so how many fit?"""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Unpack

from boxlab import meter, profiles, records
from boxlab.errors import BoxlabError, NotReady
from boxlab.experiments import blocks
from boxlab.formatting import size
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes import Box, MicroVM, Runtime, Workload

LEVELS = {"quick": (0, 1, 2, 3, 4, 6, 8), "class": (0, 1, 2, 3, 4, 6, 8), "paper": (0, 1, 2, 3, 4, 6, 8, 12, 16)}
"""Enough of them to see whether what they take together lies on a straight line."""

ROUNDS = {"quick": 1, "class": 2, "paper": 3}

METRICS = {
    "pss": {"unit": "B", "label": _("proportional set of all instances (PSS)")},
    "anon": {"unit": "B", "label": _("of this, no file's (anonymous)")},
    "taken": {"unit": "B", "label": _("change of MemAvailable")},
    "rss": {"unit": "B", "label": _("resident sets, summed")},
    "added": {"unit": "1", "label": _("instances started for this reading")},
    "scale_out": {"unit": "s", "label": _("until all of them were ready")},
}

MEASURES = (
    "All instances started and each at rest (it has printed all and waits for input): sum of PSS over every process that "
    "serves them. Numbers of instances in drawn order, reached by starting as many at once as there are processors, and by "
    "stopping. MemAvailable is compared with the moment before the first instance of the arm."
)


VMM_MIB = 256
"""What a virtual machine may take beside its guest's memory, with room to spare: QEMU itself, translated code."""


def reserve(total: int) -> int:
    """Memory that is left to a machine of `total` bytes: a tenth of it, or 1 GiB where that is more."""
    return max(1 << 30, total // 10)


def density(
    arms: Iterable[str | Runtime] = ("process", "container", "restored-vm", "microvm"),
    *,
    levels: Iterable[int] | None = None,
    workload: Workload = Workload(),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Run 0, 1, 2, 3, 4, 6, 8... instances of each box, in drawn order, and read what they take together.

    Before each start it checks that all instances may take what they are allowed and still leave the machine its `reserve`:
    a number of instances that might not is a failure, and its error says so.

    Args:
        levels: numbers of instances.
        arms, workload, options: as for `startup`; few rounds by default, as a line has many points.

    Raises:
        As `startup` does.
    """
    levels = sorted(set(LEVELS[profiles.named(options.get("profile")).name] if levels is None else levels))
    if not levels or levels[0] < 0:
        raise BoxlabError(
            _("{levels} are no numbers of instances", levels=levels), _("give at least one, from zero up")
        )
    ready, left_out = blocks.prepared(arms, workload, meter.refusal)
    pool: list[Box] = []
    alone: list[int] = []  # available before the arm's first instance

    def empty() -> None:
        alone.clear()
        with ExitStack() as stack:  # one that fails, or Ctrl-C at one, does not keep the others
            while pool:
                stack.callback(pool.pop().stop)

    with meter.open_meter() as gauge:

        def measure(record: records.Record, sample: records.Sample) -> None:
            runtime, level = ready[sample.arm], sample.level
            assert level is not None  # as the plan has levels
            alone[:] = alone or [gauge.read().available]
            while len(pool) > level:
                pool.pop().stop()
            began, before = time.monotonic(), len(pool)
            while len(pool) < level:
                batch = min(os.cpu_count() or 1, level - len(pool))
                _spare(gauge, alone[0], allowance(runtime, workload), len(pool), batch)
                with deferred():  # or Ctrl-C might strike when they exist and are not in the pool yet
                    started = start_at_once(runtime, workload, batch)
                    pool.extend(started)
                for box in started:
                    blocks.same_files(record, sample.arm, box.observe().inside["files_sha256"])
            if len(pool) > before:
                last = max(box.console.t0 + box.marks["ready"] for box in pool)
                sample.values |= {"added": len(pool) - before, "scale_out": last - began}
            reading = gauge.read(*pool)
            sample.values |= {figure: reading.total(figure) for figure in ("pss", "rss", "anon")}
            sample.values["taken"] = alone[0] - reading.available

        return blocks.run(
            "density",
            [blocks.plan_of(runtime, read_by=gauge.read_by(runtime)) for runtime in ready.values()],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            workload=workload,
            levels=levels,
            usual=lambda profile: ROUNDS[profile.name],
            warm_up=0,
            after_arm=empty,
            **options,
        )


def start_at_once(runtime: Runtime, workload: Workload, count: int) -> list[Box]:
    """Start several boxes; either all are there, or none and the first error is raised."""
    started: list[Box] = []
    try:
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda _number: started.append(runtime.start(workload)), range(count)))
    except BaseException:  # Ctrl-C as well, and a thread that is not allowed: nothing may stay
        with ExitStack() as stack:  # one that fails does not keep the others
            for box in started:
                stack.callback(box.stop)
        raise
    return started


def allowance(runtime: Runtime, workload: Workload) -> int:
    """Memory that one instance may take, in bytes."""
    return (workload.memory_mib + (VMM_MIB if isinstance(runtime, MicroVM) else 0)) << 20


def _spare(gauge: meter.Meter, alone: int, each: int, running: int, more: int) -> None:
    """Check that all instances and `more` of them may take what they are allowed: those that run may not have taken it yet.

    Raises:
        NotReady: that might take the machine below its reserve.
    """
    now = gauge.read()
    kept = reserve(now.installed)
    if min(alone - (running + more) * each, now.available - more * each) < kept:
        raise NotReady(
            _(
                "stopped at {running} instances: {more} more, each allowed {each}, might leave less than the reserve of "
                "{reserve} ({available} are available)",
                running=running,
                more=more,
                each=size(each),
                reserve=size(kept),
                available=size(now.available),
            )
        )

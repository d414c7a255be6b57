"""From nothing to several replicas that answer, and back to nothing: how long does each way take, for each kind of box?"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Unpack

import psutil

from boxlab import records
from boxlab.errors import BoxlabError, NotReady
from boxlab.experiments import blocks
from boxlab.experiments.density import allowance, reserve, start_at_once
from boxlab.formatting import size
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes import Box, Runtime, Workload

LEVELS = (1, 2, 4, 8)

MOST_EMULATED = 4
"""Of emulated machines no more than that: they share the processors that emulate them, and only take longer."""

ROUNDS = {"quick": 1, "class": 3, "paper": 10}

METRICS = {
    "up": {"unit": "s", "label": _("from nothing until all of them have answered")},
    "down": {"unit": "s", "label": _("from all of them to nothing")},
}

MEASURES = (
    "t0: as many starts as there are to be replicas are asked for at once. t1: the last replica has answered a request of its own. "
    "Then all are told to end at once (SIGTERM; a virtual machine is switched off by it) until the last one is gone and removed. "
    "Images and disks are there before, and of each kind one replica has come up and gone, uncounted: the first takes longer."
)


def scale(
    arms: Iterable[str | Runtime] = ("process", "container", "microvm"),
    *,
    levels: Iterable[int] | None = None,
    workload: Workload = Workload(),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Start so many replicas at once, let each answer a request, and end them at once; every number in drawn order.

    A number of replicas that might take the machine below its reserve of memory is a failure, and its error says so.

    Args:
        levels: numbers of replicas, from one up; of machines that are emulated, those up to `MOST_EMULATED`.
        arms, workload, options: as for `startup`; few rounds by default, as each has many starts.

    Raises:
        As `startup` does.
    """
    levels = sorted(set(LEVELS if levels is None else levels))
    if not levels or levels[0] < 1:
        raise BoxlabError(_("{levels} are no numbers of replicas", levels=levels), _("give at least one, from one up"))
    ready, left_out = blocks.prepared(arms, workload)
    plans = [blocks.plan_of(runtime) for runtime in ready.values()]
    new = set(ready)

    def measure(record: records.Record, sample: records.Sample) -> None:
        assert sample.level  # as the plan has levels
        if sample.arm in new:
            new.remove(sample.arm)
            with suppress(NotReady):  # what counts fails as well, and is counted
                up_and_down(ready[sample.arm], workload, 1)
        sample.values |= up_and_down(ready[sample.arm], workload, sample.level)

    return blocks.run(
        "scale",
        plans,
        measure,
        metrics=METRICS,
        measures=MEASURES,
        left_out=left_out,
        workload=workload,
        levels=levels,
        most={plan["kind"]: max(MOST_EMULATED, levels[0]) for plan in plans if plan["emulated"]},
        usual=lambda profile: ROUNDS[profile.name],
        warm_up=0,
        **options,
    )


def up_and_down(runtime: Runtime, workload: Workload, count: int) -> dict[str, float]:
    """Seconds until all replicas have answered, and from then until all are gone.

    Raises:
        NotReady: one did not start or answer, or there may not be memory for all.
    """
    _spare(runtime, workload, count)

    def answer(box: Box) -> float:
        box.ask("predict")
        return time.monotonic()

    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        began = time.monotonic()
        with deferred():  # or Ctrl-C might strike when they exist and nothing removes them yet
            boxes = start_at_once(runtime, workload, count)
            for box in boxes:
                stack.callback(box.stop)
        answered = list(threads.map(answer, boxes))
        told = time.monotonic()
        list(threads.map(Box.stop, boxes))
        down = time.monotonic() - told
    return {"up": max(answered) - began, "down": down}


def _spare(runtime: Runtime, workload: Workload, count: int) -> None:
    """Check that so many replicas may take what they are allowed.

    Raises:
        NotReady: that might take the machine below its reserve.
    """
    memory, wanted = psutil.virtual_memory(), count * allowance(runtime, workload)
    if memory.available - wanted < reserve(memory.total):
        raise NotReady(
            _(
                "{count} replicas may take {wanted}, and {available} are available, of which {reserve} are kept",
                count=count,
                wanted=size(wanted),
                available=size(memory.available),
                reserve=size(reserve(memory.total)),
            )
        )

"""What happens at a limit? Memory, processors and processes, asked for beyond it, in a container and in a virtual machine."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import psutil

from boxlab import engine, meter, progress, records
from boxlab.errors import NotReady
from boxlab.experiments import blocks
from boxlab.language import N_, _
from boxlab.runtimes import Box, Container, MicroVM, Runtime, Workload
from boxlab.runtimes.spawn import OUT_OF_MEMORY, EngineContainer

STRESS_MIB = 256
"""Memory of a box in the trials that are not about memory."""

MEMORY_MIB = 128
ASKED_MIB = 512
HELD_MIB = 128
PIDS = 32
ASKED_PIDS = 100
BURN_S = 2
REST_MIB = (64, 256, 1024)

METRICS = {
    "held": {"unit": "B", "label": _("memory that it got hold of")},
    "used_cpus": {"unit": "1", "label": _("processors in use, by the host's count")},
    "sees_cpus": {"unit": "1", "label": _("processors that it sees")},
    "throttled": {"unit": "s", "label": _("time that its processes were held back, summed")},
    "forked": {"unit": "1", "label": _("processes that it started")},
    "at_rest": {"unit": "B", "label": _("host memory at rest")},
    "holding": {"unit": "B", "label": _("host memory while it holds")},
    "after": {"unit": "B", "label": _("host memory after it gave back")},
}

ARMS = {
    "memory-container": _("container: memory"),
    "memory-microvm": _("microVM: memory"),
    "cpu-container": _("container: processors"),
    "cpu-microvm": _("microVM: processors"),
    "pids-container": _("container: processes"),
    "pids-microvm": _("microVM: processes"),
    "breathe-container": _("container: holds and gives back"),
    "breathe-microvm": _("microVM: holds and gives back"),
} | {f"rest-{limit}": _("container at rest, limit {limit} MiB", limit=limit) for limit in REST_MIB}

WORDS = {
    "nothing": N_("nothing"),
    "killed": N_("killed"),
    "no-memory": N_("out of memory"),
    "throttled": N_("throttled"),
    "shared": N_("shared"),
    "refused": N_("refused"),
    "returned": N_("returned"),
    "kept": N_("kept"),
    "got-all": N_("it got all that it asked for"),
    "within": N_("it never used more than it may"),
    "divided": N_("its kernel has as many processors as it was given, and divides them"),
    "stopped": N_("the kernel stops it for the rest of each period"),
    "EAGAIN": N_("fork fails with EAGAIN"),
    "below": N_("it stays below its limit"),
    "freed": N_("what was freed inside is free outside"),
    "kept-by-guest": N_("the guest's kernel keeps what it was once given"),
}
"""What the notes of a sample mean; a note that is not here is what a kernel or an engine said."""

MEASURES = (
    f"Each box is asked for more than it may have: {ASKED_MIB} MiB of memory where it may have {MEMORY_MIB}; two busy "
    f"processes for {BURN_S} s where it may use one processor; {ASKED_PIDS} processes, where the container may have {PIDS} "
    f"and the machine's own kernel decides. Then, within its limit, memory at rest under three limits, and before, during "
    f"and after it holds {HELD_MIB} MiB: the container by its control group's anonymous memory, the machine by what QEMU "
    "has resident of the guest's memory."
)


@dataclass(frozen=True)
class Trial:
    """One thing to try in one box: `attempt` gets the running box and fills in the sample."""

    kind: str
    runtime: Runtime
    workload: Workload
    attempt: Callable[[Box, records.Sample, meter.Meter], None]

    @property
    def label(self) -> str:
        return ARMS[self.kind]


def trials() -> list[Trial]:
    """All of them, in the order in which tables show them."""

    def stress(memory_mib: int = STRESS_MIB) -> Workload:
        return Workload("stress", 1, memory_mib)

    found = [
        Trial("memory-container", Container(), stress(MEMORY_MIB), _memory),
        Trial("memory-microvm", MicroVM(), stress(MEMORY_MIB), _memory),
        Trial("cpu-container", Container(), stress(), _processors),
        Trial("cpu-microvm", MicroVM(), stress(), _processors),
        Trial("pids-container", Container(pids=PIDS), stress(), _processes),
        Trial("pids-microvm", MicroVM(), stress(), _processes),
        Trial("breathe-container", Container(), stress(), _breathe),
        Trial("breathe-microvm", MicroVM(), stress(), _breathe),
    ]
    found += [Trial(f"rest-{limit}", Container(), stress(limit), _rest) for limit in REST_MIB]
    return found


def limits(
    wanted: list[Trial] | None = None,
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Try every limit in every box; `wanted` are `trials()` by default. Further arguments and errors as for `startup`.

    Raises:
        EngineError: the engine discards a limit that a container is to be tried at.
    """
    ready, left_out = {}, {}
    wanted = trials() if wanted is None else wanted
    if any(isinstance(trial.runtime, Container) for trial in wanted):
        engine.require_limits(*engine.LIMITS)
    for trial in progress.steps(_("preparing"), wanted, lambda trial: trial.label):
        if reason := blocks.lack(trial.runtime, trial.workload, meter.refusal):
            left_out[trial.kind] = {"reason": reason, "phases": []}
            continue
        ready[trial.kind] = trial
    blocks.check_that_some(ready, left_out)
    with meter.open_meter() as gauge:
        plans = [
            blocks.plan_of(
                trial.runtime,
                memory_mib=trial.workload.memory_mib,
                cpus=trial.workload.cpus,
                read_by=gauge.read_by(trial.runtime),
            )
            | {"kind": kind}
            for kind, trial in ready.items()
        ]

        def measure(record: records.Record, sample: records.Sample) -> None:
            trial = ready[sample.arm]
            with trial.runtime.start(trial.workload) as box:
                box.observe()
                trial.attempt(box, sample, gauge)

        return blocks.run(
            "limits",
            plans,
            measure,
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            usual=lambda profile: profile.steady - 1,  # outcomes hardly vary
            warm_up=0,
            **options,
        )


def _memory(box: Box, sample: records.Sample, gauge: meter.Meter) -> None:
    try:
        box.ask(f"hold {ASKED_MIB}")
        sample.notes |= {"outcome": "nothing", "why": "got-all"}
    except NotReady as error:
        if error.hung:
            raise
        panic = next((text for _, text in box.console.lines if "Kernel panic" in text), None)
        sample.notes["outcome"] = "killed"
        sample.notes["why"] = _after_stamp(panic) if panic else _end(box)
    reached = [text.rpartition(" ")[2] for _, text in box.console.lines if text.startswith("workload: holds ")]
    sample.values["held"] = (int(reached[-1]) if reached else 0) << 20


def _processors(box: Box, sample: records.Sample, gauge: meter.Meter) -> None:
    used, throttled = _host_cpu(box)
    began = time.monotonic()
    answer = json.loads(box.ask(f"burn 2 {BURN_S}"))
    took = time.monotonic() - began
    used_after, throttled_after = _host_cpu(box)
    sample.values |= {"used_cpus": (used_after - used) / took, "sees_cpus": answer["sees_cpus"]}
    if throttled_after is not None and throttled_after == throttled:
        sample.notes |= {"outcome": "nothing", "why": "within"}
    elif throttled_after is None:
        sample.notes |= {"outcome": "shared", "why": "divided"}
    else:
        assert throttled is not None  # one reading has it as the other
        sample.values["throttled"] = throttled_after - throttled
        sample.notes |= {"outcome": "throttled", "why": "stopped"}


def _processes(box: Box, sample: records.Sample, gauge: meter.Meter) -> None:
    answer = json.loads(box.ask(f"fork {ASKED_PIDS}"))
    sample.values["forked"] = answer["forked"]
    if answer["refused"]:
        sample.notes |= {"outcome": "refused", "why": answer["refused"]}
    else:
        sample.notes |= {"outcome": "nothing", "why": "got-all"}


def _rest(box: Box, sample: records.Sample, gauge: meter.Meter) -> None:
    sample.values["at_rest"] = _touched(box, gauge)
    sample.notes |= {"outcome": "nothing", "why": "below"}


def _breathe(box: Box, sample: records.Sample, gauge: meter.Meter) -> None:
    sample.values["at_rest"] = _touched(box, gauge)
    box.ask(f"hold {HELD_MIB}")
    sample.values["holding"] = _touched(box, gauge)
    box.ask("free")
    sample.values["after"] = _touched(box, gauge)
    back = sample.values["holding"] - sample.values["after"] > HELD_MIB << 19
    sample.notes |= {
        "outcome": "returned" if back else "kept",
        "why": "freed" if back else "kept-by-guest",
    }


def _touched(box: Box, gauge: meter.Meter) -> int:
    """Host memory behind a box, in bytes: a container's anonymous memory, or what is resident of a guest's."""
    reading = gauge.read(box)
    if parts := reading.emulator_parts(STRESS_MIB):
        return parts["guest"]
    return int(reading.cgroups[0]["anon"])


def _host_cpu(box: Box) -> tuple[float, float | None]:
    """CPU seconds that a box has used by the host's count, and, of a container, seconds that it was throttled."""
    if isinstance(box.spawned, EngineContainer):
        with engine.plain_errors():
            stats = engine.connect().api.stats(box.spawned.id, stream=False, one_shot=True)["cpu_stats"]
        throttled = stats["throttling_data"]["throttled_time"] / 1e9
        return stats["cpu_usage"]["total_usage"] / 1e9, throttled if box.kind == Container.kind else None
    times = [psutil.Process(pid).cpu_times() for pid in box.spawned.pids()]
    return sum(t.user + t.system for t in times), None


def _end(box: Box) -> str:
    """Why a box ended: an id of `WORDS`, or what the engine says."""
    reason = box.spawned.exit_reason()
    return "no-memory" if reason == OUT_OF_MEMORY else reason


def _after_stamp(line: str) -> str:
    """A kernel's line without its time."""
    return line.partition("] ")[2] or line

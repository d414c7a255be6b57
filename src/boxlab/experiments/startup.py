"""How long does each kind of box take from the call to its first useful output?"""

import random
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime

import psutil

from boxlab import progress, provenance, records, runtimes
from boxlab.errors import BoxlabError, NotReady, Unavailable
from boxlab.experiments.profiles import profile as named_profile
from boxlab.runtimes import Runtime, Workload

DISCARDED_ROUNDS = 1
"""The first round fills the page cache and the engine's own caches; it is kept in the record, shown, and not counted."""

MEASURES = (
    "t0: the call that starts the box. t1: the arrival of the workload's first useful output at the caller. "
    "Both on the caller's monotonic clock. Images, disks and kernel are there before; the page cache is warm."
)


def startup(
    arms: Iterable[str | Runtime] = ("process", "container", "microvm", "full-vm"),
    *,
    rounds: int | None = None,
    profile: str | None = None,
    seed: int | None = None,
    workload: Workload = Workload(),
    save_as: str | None = None,
) -> records.Run:
    """Start every box once a round, in an order drawn anew for each round.

    Randomised complete blocks: what drifts during the run drifts for all boxes alike.

    Args:
        arms: names of runtimes, or runtimes. One that this machine cannot run is left out, and the record says why.
        rounds: how many rounds count; by default as many as the profile says.
        profile: quick, class or paper; by default what the variable PROFILE says, else class.
        seed: of the order; drawn if not given, and recorded.
        workload: what to start, and what it may use.
        save_as: name of the record; it is written after every round, so that an interrupted run is kept.

    Raises:
        BoxlabError: bad arguments, or boxes that did not run the same files.
        Unavailable: no arm can run here.
        EngineError: the engine stopped answering.
        KeyboardInterrupt: passed on, once the running box is gone and the record saved.
    """
    chosen = named_profile(profile)
    rounds = chosen.rounds if rounds is None else rounds
    if rounds < 1:
        raise BoxlabError(f"{rounds} rounds cannot be measured", "ask for at least one")
    ready, left_out = _prepare([runtimes.named(arm) if isinstance(arm, str) else arm for arm in arms], workload)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    shuffle = random.Random(seed)
    kinds = list(ready)
    order = [shuffle.sample(kinds, len(kinds)) for _ in range(DISCARDED_ROUNDS + rounds)]
    run = records.Run(
        experiment="startup",
        profile=chosen.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plan={
            "arms": [_arm(runtime) for runtime in ready.values()],
            "left_out": left_out,
            "rounds": rounds,
            "discarded_rounds": DISCARDED_ROUNDS,
            "seed": seed,
            "order": order,
            "measures": MEASURES,
            "workload": asdict(workload),
            "files_sha256": None,
        },
        provenance=provenance.collect(),
    )
    try:
        with progress.bar("startup", total=len(order) * len(kinds), unit="start") as bar:
            for number, block in enumerate(order):
                for position, kind in enumerate(block):
                    bar.set_postfix_str(f"round {number} of {rounds}, {kind}")
                    run.samples.append(_sample(run, ready[kind], workload, number, position))
                    bar.update()
                if save_as:
                    run.save(save_as)
        run.complete = True
    finally:
        if save_as:
            run.save(save_as)
    return run


def _prepare(wanted: list[Runtime], workload: Workload) -> tuple[dict[str, Runtime], dict[str, dict]]:
    ready, left_out = {}, {}
    kinds = [runtime.kind for runtime in wanted]
    if len(set(kinds)) < len(kinds):
        raise BoxlabError(f"an arm is named twice: {', '.join(kinds)}", "name each once")
    for runtime in wanted:
        try:
            runtime.prepare(workload)
            ready[runtime.kind] = runtime
        except Unavailable as error:
            left_out[runtime.kind] = {"reason": str(error), "phases": list(runtime.phases)}
    if not ready:
        reasons = "; ".join(f"{kind}: {lack['reason']}" for kind, lack in left_out.items())
        raise Unavailable(
            f"nothing to measure: {reasons or 'no arm was asked for'}", "`make doctor` says what this machine lacks"
        )
    return ready, left_out


def _arm(runtime: Runtime) -> dict:
    details = runtime.details()
    emulated = details.get("accelerator", {}).get("name") == "tcg"
    return {
        "kind": runtime.kind,
        "label": runtime.label,
        "emulated": emulated,
        "phases": runtime.phases,
        "details": details,
    }


def _sample(run: records.Run, runtime: Runtime, workload: Workload, number: int, position: int) -> records.Sample:
    """One start, observed and stopped."""
    sample = records.Sample(runtime.kind, number, position, number < DISCARDED_ROUNDS, None, {}, None, 0.0)
    busy = _machine_cpu_seconds()
    try:
        with runtime.start(workload) as box:
            sample.machine_cpu_seconds = _machine_cpu_seconds() - busy
            _same_files(run, runtime, box.observe().inside["files_sha256"])
            sample.stop_seconds = box.stop()
            sample.seconds, sample.marks = box.marks["ready"], box.marks
    except NotReady as error:
        sample.machine_cpu_seconds = _machine_cpu_seconds() - busy
        sample.error = str(error)
    return sample


def _same_files(run: records.Run, runtime: Runtime, sha256: str) -> None:
    expected = run.plan["files_sha256"] = run.plan["files_sha256"] or sha256
    if sha256 != expected:
        raise BoxlabError(
            f"{runtime.kind} ran other files than the boxes before it: nothing was compared", "`make clean`, then again"
        )


def _machine_cpu_seconds() -> float:
    """CPU time that this machine has spent working since it booted, in seconds.

    Without `iowait` and `steal`, in which it does nothing, and `guest`, which is in `user` already.
    """
    times = psutil.cpu_times()
    worked = ("user", "nice", "system", "irq", "softirq")
    return sum(getattr(times, name, 0.0) for name in worked)

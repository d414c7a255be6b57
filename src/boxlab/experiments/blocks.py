"""Randomised complete blocks: every round measures each arm once, in an order drawn anew.

What drifts during a run then drifts for all arms alike. All experiments go through `run`; what differs between them is
what is done to an arm.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypedDict

from boxlab import profiles, progress, provenance, records, runtimes, turns
from boxlab.errors import BoxlabError, NotReady, Unavailable
from boxlab.language import _
from boxlab.runtimes import Runtime, Workload

WARM_UP = 1
"""The first round fills the page cache and the engine's own caches; it is kept in the record, shown, and not counted."""


class Options(TypedDict, total=False):
    """What every experiment takes beside its own arguments.

    Attributes:
        rounds: how many rounds count; by default as many as the profile says.
        profile: quick, class or paper; by default what the variable PROFILE says, else class.
        seed: of the order; drawn if not given, and recorded.
        save_as: name of the record; it is written after every round, so that an interrupted run is kept.
    """

    rounds: int | None
    profile: str | None
    seed: int | None
    save_as: str | None


def prepared(
    arms: Iterable[str | Runtime], workload: Workload, refusal: Callable[[Runtime], str] = lambda runtime: ""
) -> tuple[dict[str, Runtime], dict[str, dict[str, Any]]]:
    """The arms that can run here, by kind, and why the others cannot; `refusal` gives further reasons, or nothing.

    Raises:
        BoxlabError: an unknown or repeated name.
        Unavailable: none can run here.
        EngineError: the engine does not answer.
    """
    wanted = [runtimes.named(arm) if isinstance(arm, str) else arm for arm in arms]
    kinds = [runtime.kind for runtime in wanted]
    if len(set(kinds)) < len(kinds):
        raise BoxlabError(_("an arm is named twice: {arms}", arms=", ".join(kinds)), _("name each once"))
    ready, left_out = {}, {}
    for runtime in progress.steps(_("preparing"), wanted, lambda runtime: runtime.label):
        if reason := lack(runtime, workload, refusal):
            left_out[runtime.kind] = {"reason": reason, "phases": list(runtime.phases)}
        else:
            ready[runtime.kind] = runtime
    check_that_some(ready, left_out)
    return ready, left_out


def lack(runtime: Runtime, workload: Workload, refusal: Callable[[Runtime], str] = lambda runtime: "") -> str:
    """Prepare a runtime; returns why it cannot run here, and nothing where it can.

    Raises:
        EngineError: the engine does not answer.
    """
    try:
        runtime.prepare(workload)
        return refusal(runtime)
    except (NotReady, Unavailable) as error:
        return str(error)


def check_that_some(ready: dict[str, Any], left_out: dict[str, dict[str, Any]]) -> None:
    """Check that there is something to measure.

    Raises:
        Unavailable: there is not.
    """
    if not ready:
        reasons = "; ".join(f"{kind}: {lack['reason']}" for kind, lack in left_out.items())
        raise Unavailable(
            _("nothing to measure: {reasons}", reasons=reasons or _("no arm was asked for")),
            _("`make doctor` says what this machine lacks"),
        )


def plan_of(runtime: Runtime, **more: Any) -> dict[str, Any]:
    """What a record says of a runtime's arm, with `more` details."""
    details = runtime.details() | more
    return {
        "kind": runtime.kind,
        "emulated": details.get("accelerator", {}).get("name") == "tcg",
        "phases": runtime.phases,
        "details": details,
    }


@turns.turn("measuring", _("it is our turn to measure"))
def run(
    experiment: str,
    arms: list[dict[str, Any]],
    measure: Callable[[records.Record, records.Sample], None],
    *,
    metrics: dict[str, dict[str, Any]],
    measures: str,
    left_out: dict[str, dict[str, Any]] | None = None,
    workload: Workload | None = None,
    levels: Sequence[int] | None = None,
    most: dict[str, int] | None = None,
    usual: Callable[[profiles.Profile], int] = lambda profile: profile.rounds,
    warm_up: int = WARM_UP,
    before: int = 0,
    after_arm: Callable[[], None] = lambda: None,
    rounds: int | None = None,
    profile: str | None = None,
    seed: int | None = None,
    save_as: str | None = None,
) -> records.Record:
    """Measure every arm once a round; with levels, every arm at each of them, in an order of its own.

    Whoever measures on this machine at the same time, in this checkout or another, is waited for.

    Args:
        experiment: its name in the record.
        arms: the plan of each, as `plan_of` gives it.
        measure: fills in a sample's values. A `NotReady` that it raises is a failure of the arm, and the run goes on.
        metrics: what is measured, the main one first; see the record's schema. One that is "old" is in former records alone.
        measures: t0, t1 and the rest of the setting, in words.
        left_out: arms that this machine cannot run, and why.
        workload: what the arms run, if they all run the same.
        levels: steps of a scale, such as the number of instances.
        most: the highest level of an arm that is not measured at all of them.
        usual: how many rounds a profile means here.
        warm_up: rounds that come first and do not count.
        before: rounds that come first, count, and measure something else.
        after_arm: called when an arm's part of a block is over, however it ended.
        rounds, profile, seed, save_as: see `Options`.

    Raises:
        BoxlabError: bad arguments.
        KeyboardInterrupt: passed on, once the record is saved.
    """
    chosen = profiles.named(profile)
    rounds = usual(chosen) if rounds is None else rounds
    if rounds < 1:
        raise BoxlabError(_("{count} rounds cannot be measured", count=rounds), _("ask for at least one"))
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    draw = random.Random(seed)
    kinds = [arm["kind"] for arm in arms]
    highest = most or {}
    steps: dict[str, list[int] | list[None]] = {
        kind: [level for level in levels if level <= highest.get(kind, level)] if levels else [None] for kind in kinds
    }
    blocks = [
        [(kind, draw.sample(steps[kind], len(steps[kind]))) for kind in draw.sample(kinds, len(kinds))]
        for _number in range(warm_up + before + rounds)
    ]
    result = records.Record(
        experiment=experiment,
        profile=chosen.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plan={
            "arms": arms,
            "left_out": left_out or {},
            "rounds": rounds,
            "discarded_rounds": warm_up,
            "seed": seed,
            "order": [[_cell(kind, level) for kind, order in block for level in order] for block in blocks],
            "metrics": {
                name: {fact: value for fact, value in facts.items() if fact != "label"}
                for name, facts in metrics.items()
                if not facts.get("old")
            },
            "measures": measures,
            "workload": asdict(workload) if workload else None,
            "files_sha256": None,
        }
        | ({"rounds_before": before} if before else {})
        | ({"levels": list(levels)} if levels else {}),
        provenance=provenance.collect(),
    )
    total = len(blocks) * sum(map(len, steps.values()))
    try:
        with progress.bar(experiment, total=total) as bar:
            for number, block in enumerate(blocks):
                position = 0
                for kind, order in block:
                    try:
                        for level in order:
                            bar.set_postfix_str(
                                _(
                                    "round {number} of {last}, {arm}",
                                    number=number,
                                    last=len(blocks) - 1,
                                    arm=_cell(kind, level),
                                )
                            )
                            sample = records.Sample(kind, number, position, number < warm_up, level)
                            _take(result, sample, measure)
                            position += 1
                            bar.update()
                    finally:
                        after_arm()
                if save_as:
                    result.save(save_as)
        result.complete = True
    finally:
        if save_as:
            result.save(save_as)
    return result


def _take(
    record: records.Record, sample: records.Sample, measure: Callable[[records.Record, records.Sample], None]
) -> None:
    try:
        measure(record, sample)
    except NotReady as error:
        sample.values.pop(record.main, None)
        sample.error = str(error)
    record.samples.append(sample)


def _cell(kind: str, level: int | None) -> str:
    return kind if level is None else f"{kind} {level}"


def same_files(record: records.Record, kind: str, sha256: str) -> None:
    """Check that an arm ran the files that the arms before it ran.

    Raises:
        BoxlabError: it ran others.
    """
    expected = record.plan["files_sha256"] = record.plan["files_sha256"] or sha256
    if sha256 != expected:
        raise BoxlabError(
            _("{arm} ran other files than the boxes before it: nothing was compared", arm=kind),
            _("`make clean`, then again"),
        )

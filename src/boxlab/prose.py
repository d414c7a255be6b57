"""A record in words: its caption, and every number that the text of the book quotes."""

from collections.abc import Callable
from functools import partial

from boxlab import provenance, stats
from boxlab.errors import RecordError
from boxlab.formatting import seconds, with_interval
from boxlab.language import _, several
from boxlab.records import Record

NOT_MEASURED = _("not measured here")


def texts(record: Record) -> dict[str, str]:
    """Every number of a record as text, under the name by which the prose quotes it.

    For each arm KIND: KIND_median, KIND_low, KIND_high (interval of the median) of the main metric, KIND_n,
    KIND_failed, KIND_stable, KIND_vs_OTHER (ratio of medians with its interval); KIND_METRIC for the median of every
    other metric; KIND_MARK (end of a phase in the typical sample) and KIND_MARK_took (its length). With levels:
    KIND_slope and KIND_intercept, each with _low and _high, and KIND_shape of the line through them. An arm that did not run here has "not measured here"
    under each name.
    """
    kinds = [*record.arms, *record.plan["left_out"]]
    texts = {
        "caption": caption(record),
        "machine": provenance.in_words(record.provenance),
        "accelerator": record.accelerator() or _("nothing: no virtual machine ran here"),
        "rounds": str(record.plan["rounds"]),
        "profile": record.profile,
    }
    if workload := record.plan["workload"]:
        texts |= {"cpus": f"{workload['cpus']:g}", "memory": f"{workload['memory_mib']} MiB"}
    for kind in kinds:
        texts |= dict.fromkeys(_text_names(record, kind, kinds), NOT_MEASURED)
        texts[f"{kind}_failed"] = str(len(record.failures(kind)))
        for metric in record.plan["metrics"]:
            if metric != record.main and record.kept(kind, metric):
                texts[f"{kind}_{metric}"] = record.say(metric, record.median(kind, metric).value)
        if record.levels:
            texts |= _line_texts(record, kind)
        elif record.kept(kind):
            texts |= _median_texts(record, kind, kinds)
    return texts


def _text_names(record: Record, kind: str, kinds: list[str]) -> list[str]:
    left_out = record.plan["left_out"]
    phases = left_out[kind]["phases"] if kind in left_out else record.arm(kind)["phases"]
    names = ["median", "low", "high", "n", "failed", "stable"]
    if record.levels:
        names += [f"{part}{end}" for part in ("slope", "intercept") for end in ("", "_low", "_high")]
        names.append("shape")
    names += [metric for metric in record.plan["metrics"] if metric != record.main]
    names += [f"vs_{other}" for other in kinds if other != kind]
    names += [name for mark in phases for name in (mark, f"{mark}_took")]
    return [f"{kind}_{name}" for name in names]


def _median_texts(record: Record, kind: str, kinds: list[str]) -> dict[str, str]:
    values, median, sample = list(record.kept(kind).values()), record.median(kind), record.typical(kind)
    texts = {
        f"{kind}_median": record.say(record.main, median.value),
        f"{kind}_low": record.say(record.main, median.low),
        f"{kind}_high": record.say(record.main, median.high),
        f"{kind}_n": str(len(values)),
        f"{kind}_stable": "; ".join(stats.instability(values)) or _("yes"),
    }
    before: float | None = 0.0
    for mark in record.arm(kind)["phases"]:
        if mark in sample.marks:
            texts[f"{kind}_{mark}"] = seconds(sample.marks[mark])
            if before is not None:  # else its beginning was not seen
                texts[f"{kind}_{mark}_took"] = seconds(sample.marks[mark] - before)
        before = sample.marks.get(mark)
    for other in kinds:
        if other != kind and record.together(kind, other):
            texts[f"{kind}_vs_{other}"] = with_interval(record.ratio(kind, other))
    return texts


def _line_texts(record: Record, kind: str) -> dict[str, str]:
    try:
        line = record.line(kind)
    except RecordError:
        return {}
    parts = {"slope": line.slope, "intercept": line.intercept}
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{kind}_{part}{end}": record.say(record.main, getattr(estimate, name))
        for part, estimate in parts.items()
        for end, name in ends.items()
    } | {f"{kind}_n": str(line.n), f"{kind}_shape": shape(line, partial(record.say, record.main))}


def shape(line: stats.Line, say: Callable[[float], str]) -> str:
    """Whether points lie on a straight line, in words; a number of them by `say`."""
    if not line.bend:
        return _("straight")
    if line.bend.value < 0:
        return _("bent: {size} less for a single one", size=say(-line.bend.value))
    return _("bent: {size} more for a single one", size=say(line.bend.value))


def _unstable(record: Record) -> list[str]:
    """The arms, by name, whose samples of the main metric should not be quoted yet; at several levels they differ anyway."""
    samples = {kind: [*record.kept(kind).values()] for kind in ([] if record.levels else record.arms)}
    return [record.name(kind) for kind, values in samples.items() if len(values) > 1 and stats.instability(values)]


def caption(record: Record, timed: bool = True) -> str:
    """What was measured, how often, on what: one line that belongs under every plot and table of a record.

    Args:
        timed: whether the main metric is shown, so that it matters where it is unstable.
    """
    rounds, profile = record.plan["rounds"], record.profile
    if record.plan["discarded_rounds"]:
        often = several(
            "n = {count} round after a discarded one (profile {profile})",
            "n = {count} rounds after a discarded one (profile {profile})",
            rounds,
            profile=profile,
        )
    else:
        often = several(
            "n = {count} round (profile {profile})", "n = {count} rounds (profile {profile})", rounds, profile=profile
        )
    parts = [often, provenance.in_words(record.provenance)]
    if accelerator := record.accelerator():
        parts.append(_("VMs by {accelerator}", accelerator=accelerator))
    if any(arm["details"].get("read_by") == "container" for arm in record.plan["arms"]):
        parts.append(_("memory read by a container"))
    if timed and (shaky := _unstable(record)):
        arms = "; ".join(shaky) if len(shaky) < len(record.arms) else _("all of it")
        parts.append(_("unstable, to be measured again on a quiet machine: {arms}", arms=arms))
    parts.append(record.created[:10])
    if not record.complete:
        parts.append(_("INTERRUPTED, fewer rounds than planned"))
    return " · ".join(parts)

"""A record in words: its caption, and every number that the text of the book quotes."""

from boxlab import provenance, stats
from boxlab.errors import RecordError
from boxlab.formatting import seconds, with_interval
from boxlab.records import Run

NOT_MEASURED = "not measured here"


def texts(run: Run) -> dict[str, str]:
    """Every number of this run as text, under the name by which the prose quotes it.

    For each arm KIND: KIND_median, KIND_low, KIND_high (interval of the median) of the main metric, KIND_n,
    KIND_failed, KIND_stable, KIND_vs_OTHER (ratio of medians with its interval); KIND_METRIC for the median of every
    other metric; KIND_MARK (end of a phase in the typical sample) and KIND_MARK_took (its length). With levels:
    KIND_slope and KIND_intercept, each with _low and _high. An arm that did not run here has "not measured here"
    under each name.
    """
    kinds = [*run.arms, *run.plan["left_out"]]
    texts = {
        "caption": caption(run),
        "machine": provenance.in_words(run.provenance),
        "accelerator": run.accelerator() or "nothing: no virtual machine ran here",
        "rounds": str(run.plan["rounds"]),
        "profile": run.profile,
    }
    if workload := run.plan["workload"]:
        texts |= {"cpus": f"{workload['cpus']:g}", "memory": f"{workload['memory_mib']} MiB"}
    for kind in kinds:
        texts |= dict.fromkeys(_text_names(run, kind, kinds), NOT_MEASURED)
        texts[f"{kind}_failed"] = str(len(run.failures(kind)))
        for metric in run.plan["metrics"]:
            if metric != run.main and run.kept(kind, metric):
                texts[f"{kind}_{metric}"] = run.say(metric, run.median(kind, metric).value)
        if run.levels:
            texts |= _line_texts(run, kind)
        elif run.kept(kind):
            texts |= _median_texts(run, kind, kinds)
    return texts


def _text_names(run: Run, kind: str, kinds: list[str]) -> list[str]:
    left_out = run.plan["left_out"]
    phases = left_out[kind]["phases"] if kind in left_out else run.arm(kind)["phases"]
    names = ["median", "low", "high", "n", "failed", "stable"]
    if run.levels:
        names += [f"{part}{end}" for part in ("slope", "intercept") for end in ("", "_low", "_high")]
    names += [metric for metric in run.plan["metrics"] if metric != run.main]
    names += [f"vs_{other}" for other in kinds if other != kind]
    names += [name for mark in phases for name in (mark, f"{mark}_took")]
    return [f"{kind}_{name}" for name in names]


def _median_texts(run: Run, kind: str, kinds: list[str]) -> dict[str, str]:
    values, median, sample = list(run.kept(kind).values()), run.median(kind), run.typical(kind)
    texts = {
        f"{kind}_median": run.say(run.main, median.value),
        f"{kind}_low": run.say(run.main, median.low),
        f"{kind}_high": run.say(run.main, median.high),
        f"{kind}_n": str(len(values)),
        f"{kind}_stable": "; ".join(stats.instability(values)) or "yes",
    }
    before: float | None = 0.0
    for mark in run.arm(kind)["phases"]:
        if mark in sample.marks:
            texts[f"{kind}_{mark}"] = seconds(sample.marks[mark])
            if before is not None:  # else its beginning was not seen
                texts[f"{kind}_{mark}_took"] = seconds(sample.marks[mark] - before)
        before = sample.marks.get(mark)
    for other in kinds:
        if other != kind and run.kept(kind).keys() & run.kept(other).keys():
            texts[f"{kind}_vs_{other}"] = with_interval(run.ratio(kind, other))
    return texts


def _line_texts(run: Run, kind: str) -> dict[str, str]:
    try:
        line = run.line(kind)
    except RecordError:
        return {}
    parts = {"slope": line.slope, "intercept": line.intercept}
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{kind}_{part}{end}": run.say(run.main, getattr(estimate, name))
        for part, estimate in parts.items()
        for end, name in ends.items()
    } | {f"{kind}_n": str(line.n)}


def caption(run: Run) -> str:
    """What was measured, how often, on what: one line that belongs under every plot and table of this run."""
    warm_up = " after a discarded one" if run.plan["discarded_rounds"] else ""
    rounds = run.plan["rounds"]
    often = f"{rounds} round{'s' if rounds > 1 else ''}"
    parts = [f"n = {often}{warm_up} (profile {run.profile})", provenance.in_words(run.provenance)]
    if accelerator := run.accelerator():
        parts.append(f"VMs by {accelerator}")
    parts.append(run.created[:10])
    if not run.complete:
        parts.append("INTERRUPTED, fewer rounds than planned")
    return " · ".join(parts)

"""Two records of one experiment side by side: two machines, two accelerators, before and after."""

from functools import partial

import pandas as pd

from boxlab import provenance, records, stats
from boxlab.errors import RecordError
from boxlab.formatting import times, with_interval

NAMES = ("A", "B")

NOT_SHOWN = "not shown"
TOO_FEW = f"fewer than {stats.FEWEST} samples"


def check(a: records.Record, b: records.Record) -> None:
    """Refuse what cannot be compared.

    Raises:
        RecordError: they measured different things; the message says what.
    """
    if a.experiment != b.experiment:
        raise RecordError(
            f"A is a record of {a.experiment} and B of {b.experiment}", "compare two of the same experiment"
        )
    metrics = [f"{record.main} in {record.plan['metrics'][record.main]['unit']}" for record in (a, b)]
    if metrics[0] != metrics[1]:
        raise RecordError(f"they measured different things: {' and '.join(metrics)}", "measure again with one version")
    for what in ("image", "cpus", "memory_mib"):
        here, there = ((record.plan["workload"] or {}).get(what) for record in (a, b))
        if here != there:
            raise RecordError(
                f"the workload's {what} was {here} in A and {there} in B", "measure with the same workload"
            )
    if not common(a, b):
        raise RecordError(
            f"they have no arm in common: {', '.join(a.arms)} and {', '.join(b.arms)}",
            "measure an arm that both can run",
        )


def common(a: records.Record, b: records.Record) -> list[str]:
    """The arms that have values in both."""
    return [kind for kind in a.arms if kind in b.arms and _values(a, kind) and _values(b, kind)]


def differences(a: records.Record, b: records.Record) -> list[str]:
    """What else differs between the two, and so may be why their numbers do."""
    found = []
    accelerators = (a.accelerator(), b.accelerator())
    if accelerators[0] != accelerators[1]:
        found.append(
            f"virtual machines ran by {accelerators[0] or 'nothing'} in A and by {accelerators[1] or 'nothing'} in B"
        )
    if provenance.in_words(a.provenance) != provenance.in_words(b.provenance):
        found.append("the machines differ")
    files = [record.plan.get("files_sha256") for record in (a, b)]
    if files[0] != files[1]:
        found.append("the boxes ran from other files (another base image, or another version of the book)")
    if a.profile != b.profile:
        found.append(f"profile {a.profile} in A and {b.profile} in B")
    found += [f"{name} was interrupted" for name, record in zip(NAMES, (a, b), strict=True) if not record.complete]
    return found


def table(a: records.Record, b: records.Record) -> pd.DataFrame:
    """One row an arm: what each record says of the main metric, and B as a multiple of A with its interval.

    With levels it is the slope that is compared. The two runs have no rounds in common, so each is resampled on its own.

    Raises:
        RecordError: they cannot be compared.
    """
    check(a, b)
    found = {}
    for kind in common(a, b):
        label = a.name(kind) if a.name(kind) == b.name(kind) else f"{a.name(kind)} / {b.name(kind)}"
        one, other = (estimate(record, kind) for record in (a, b))
        row = {
            name: with_interval(e, partial(record.say, record.main))
            for name, record, e in zip(NAMES, (a, b), (one, other), strict=True)
        }
        if a.levels:
            row["B / A"] = times(other.value / one.value)
            row["differ"] = "yes: the intervals are apart" if _apart(one, other) else NOT_SHOWN
        else:
            ratio = stats.independent_ratio(_values(b, kind), _values(a, kind))
            row["B / A"] = with_interval(ratio)
            differ = ratio.low > 1 or ratio.high < 1
            row["differ"] = TOO_FEW if ratio.is_range else f"yes, at {stats.CONFIDENCE:.0%}" if differ else NOT_SHOWN
        found[label] = row
    frame = pd.DataFrame.from_dict(found, orient="index")
    frame.index.name = a.experiment
    return frame


def estimate(record: records.Record, kind: str) -> stats.Estimate:
    """What is compared of an arm: its median, or with levels its slope."""
    return record.line(kind).slope if record.levels else record.median(kind)


def _values(record: records.Record, kind: str) -> list[float]:
    if record.levels:
        return list(record.points(kind)[1])
    return list(record.kept(kind).values())


def _apart(one: stats.Estimate, other: stats.Estimate) -> bool:
    """Whether two intervals have nothing in common: a stricter test than their confidence."""
    return one.high < other.low or other.high < one.low

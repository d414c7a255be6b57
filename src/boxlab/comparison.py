"""Two records of one experiment side by side: two machines, two accelerators, before and after."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from boxlab import labels, provenance, records, stats
from boxlab.errors import RecordError
from boxlab.formatting import times, with_interval
from boxlab.language import _

NAMES = ("A", "B")

NOT_SHOWN = _("not shown")
TOO_FEW = _("fewer than {count} samples", count=stats.FEWEST)


def check(a: records.Record, b: records.Record) -> None:
    """Refuse what cannot be compared.

    Raises:
        RecordError: they measured different things; the message says what.
    """
    if a.experiment != b.experiment:
        raise RecordError(
            _("A is a record of {a} and B of {b}", a=a.experiment, b=b.experiment),
            _("compare two of the same experiment"),
        )
    units = [record.plan["metrics"][record.main]["unit"] for record in (a, b)]
    if (a.main, units[0]) != (b.main, units[1]):
        said = {"a": a.main, "a_unit": units[0], "b": b.main, "b_unit": units[1]}
        raise RecordError(
            _("they measured different things: {a} in {a_unit} and {b} in {b_unit}", **said),
            _("measure again with one version"),
        )
    for what in ("image", "cpus", "memory_mib"):
        here, there = ((record.plan["workload"] or {}).get(what) for record in (a, b))
        if here != there:
            raise RecordError(
                _("the workload's {what} was {here} in A and {there} in B", what=what, here=here, there=there),
                _("measure with the same workload"),
            )
    if not common(a, b):
        raise RecordError(
            _("they have no arm in common: {a} and {b}", a=", ".join(a.arms), b=", ".join(b.arms)),
            _("measure an arm that both can run"),
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
            _(
                "virtual machines ran by {a} in A and by {b} in B",
                a=accelerators[0] or _("nothing"),
                b=accelerators[1] or _("nothing"),
            )
        )
    if provenance.in_words(a.provenance) != provenance.in_words(b.provenance):
        found.append(_("the machines differ"))
    found += _other_arms(a, b)
    runtimes = [record.provenance["engine"].get("default_runtime") for record in (a, b)]
    if all(runtimes) and runtimes[0] != runtimes[1]:
        found.append(_("the engine's runtime was {a} in A and {b} in B", a=runtimes[0], b=runtimes[1]))
    files = [record.plan.get("files_sha256") for record in (a, b)]
    if files[0] != files[1]:
        found.append(_("the boxes ran from other files (another base image, or another version of the book)"))
    if a.profile != b.profile:
        found.append(_("profile {a} in A and {b} in B", a=a.profile, b=b.profile))
    found += [
        _("{record} was interrupted", record=name)
        for name, record in zip(NAMES, (a, b), strict=True)
        if not record.complete
    ]
    return found


def _other_arms(a: records.Record, b: records.Record) -> Iterator[str]:
    """How arms of one name were others in B; what runs virtual machines is said for all of them."""
    said: dict[tuple[str, str, str], list[str]] = {}
    for kind in common(a, b):
        one, other = (record.arm(kind)["details"] for record in (a, b))
        for key in one.keys() & other.keys() - {"accelerator", "qemu_in_container"}:
            if one[key] != other[key]:
                said.setdefault((key, _value(one[key]), _value(other[key])), []).append(a.name(kind, ""))
    for (key, here, there), arms in sorted(said.items()):
        facts = {"arms": ", ".join(arms), "what": labels.DETAILS.get(key, key)}
        if here and there:
            yield _("{arms}: {what} {a} in A and {b} in B", a=here, b=there, **facts)
        else:
            yield _("{arms}: {what} is another in B", **facts)


def _value(found: Any) -> str:
    """What a plan says, in words; nothing where that is a list, which is long."""
    if isinstance(found, list | tuple):
        return ""
    if isinstance(found, bool):
        return _("yes") if found else _("no")
    return _("by default") if found is None else str(found)


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
            row[_("differ")] = _("yes: the intervals are apart") if _apart(one, other) else NOT_SHOWN
        else:
            ratio = stats.independent_ratio(_values(b, kind), _values(a, kind))
            row["B / A"] = with_interval(ratio)
            differ = ratio.low > 1 or ratio.high < 1
            shown = _("yes, at {confidence:.0%}", confidence=stats.CONFIDENCE)
            row[_("differ")] = TOO_FEW if ratio.is_range else shown if differ else NOT_SHOWN
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

"""Records as tables, to be shown as they are: pandas frames of text, one row an arm."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from boxlab import prose, stats
from boxlab.errors import RecordError
from boxlab.formatting import interval, with_interval
from boxlab.language import _
from boxlab.records import Record
from boxlab.stats import Estimate


def summary(record: Record, reference: str | None = "container") -> pd.DataFrame:
    """One row an arm: how often, median and interval of the main metric, spread, failures, whether it is stable, the
    medians of the other metrics, and the ratio to `reference`."""
    rows = {}
    for kind in record.arms:
        values = np.array(list(record.kept(kind).values()))
        row: dict[str, Any] = {"n": len(values), _("failed"): len(record.failures(kind))}
        if len(values):
            median, say = record.median(kind), partial(record.say, record.main)
            low, high = np.percentile(values, [25, 75])
            row |= {
                _("median"): say(median.value),
                _("95 % interval"): interval(median, say),
                _("interquartile range"): f"{say(low)} – {say(high)}",
                _("stable"): "; ".join(stats.instability(values)) or _("yes"),
            }
            if reference and kind != reference and record.together(kind, reference):
                row[f"× {record.name(reference, '')}"] = with_interval(record.ratio(kind, reference))
        shown = [
            name
            for name, facts in record.plan["metrics"].items()
            if facts.get("in_table", True) and name != record.main
        ]
        rows[record.name(kind)] = row | _medians(record, kind, shown)
    return _table(record, rows)


def levels(record: Record, metric: str | None = None) -> pd.DataFrame:
    """One row an arm: the line through its values over the levels, from one up; by default of the main metric."""
    metric = metric or record.main
    rows = {}
    for kind in record.arms:
        row: dict[str, Any] = {"n": len(record.points(kind, metric, 1)[0]), _("failed"): len(record.failures(kind))}
        try:
            line = record.line(kind, metric)
        except RecordError as error:
            row[_("slope")] = str(error)
        else:
            say = partial(record.say, metric)
            for part, within, e in (
                (_("slope"), _("slope, 95 % interval"), line.slope),
                (_("intercept"), _("intercept, 95 % interval"), line.intercept),
            ):
                row |= {part: say(e.value), within: interval(e, say)}
            row[_("shape")] = prose.shape(line, say)
            row[_("largest residual")] = say(float(np.abs(line.residuals).max()))
        rows[record.name(kind)] = row
    return _table(record, rows)


def parts(record: Record, metrics: list[str]) -> pd.DataFrame:
    """One row an arm, one column a metric: medians as text, with their intervals where the samples differ; a dash where there is none."""
    return _table(record, {record.name(kind): _medians(record, kind, metrics, _spread) for kind in record.arms})


def samples(record: Record) -> pd.DataFrame:
    """Every sample, a row each, as numbers; a metric, a phase and a note each have a column."""
    return pd.json_normalize([asdict(sample) for sample in record.samples]).rename(
        columns=lambda name: name.removeprefix("values.")
    )


def _medians(
    record: Record,
    kind: str,
    metrics: list[str],
    text: Callable[[Estimate, Callable[[float], str]], str] = lambda median, say: say(median.value),
) -> dict[str, str]:
    """Label of a metric -> its median as `text`, of those that an arm has."""
    return {
        record.label(metric): text(record.median(kind, metric), partial(record.say, metric))
        for metric in metrics
        if record.kept(kind, metric)
    }


def _spread(median: Estimate, say: Callable[[float], str]) -> str:
    """A median as text, with its interval where that says more; no line ends between a number and its unit."""
    if say(median.low) == say(median.high):
        return say(median.value)
    return with_interval(median, lambda value: say(value).replace(" ", "\u00a0"))


def _table(record: Record, rows: dict[str, dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = _("{experiment}, profile {profile}", experiment=record.experiment, profile=record.profile)
    return table

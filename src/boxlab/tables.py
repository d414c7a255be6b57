"""Records as tables, to be shown as they are: pandas frames of text, one row an arm."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from boxlab import stats
from boxlab.errors import RecordError
from boxlab.formatting import interval, with_interval
from boxlab.records import Run


def summary(run: Run, reference: str | None = "container") -> pd.DataFrame:
    """One row an arm: how often, median and interval of the main metric, spread, failures, whether it is stable, the
    medians of the other metrics, and the ratio to `reference`."""
    rows = {}
    for kind in run.arms:
        values = np.array(list(run.kept(kind).values()))
        row = {"n": len(values), "failed": len(run.failures(kind))}
        if len(values):
            median, say = run.median(kind), partial(run.say, run.main)
            low, high = np.percentile(values, [25, 75])
            row |= {
                "median": say(median.value),
                "95 % interval": interval(median, say),
                "middle half": f"{say(low)} – {say(high)}",
                "stable": "; ".join(stats.instability(values)) or "yes",
            }
            if kind != reference and run.kept(reference):
                row[f"× {reference}"] = with_interval(run.ratio(kind, reference))
        shown = [
            name for name, facts in run.plan["metrics"].items() if facts.get("in_table", True) and name != run.main
        ]
        rows[run.name(kind)] = row | _medians(run, kind, shown)
    return _table(run, rows)


def levels(run: Run, metric: str | None = None) -> pd.DataFrame:
    """One row an arm: the line through its values over the levels, from one up; by default of the main metric."""
    metric = metric or run.main
    rows = {}
    for kind in run.arms:
        row = {"n": len(run.points(kind, metric, 1)[0]), "failed": len(run.failures(kind))}
        try:
            line = run.line(kind, metric)
        except RecordError as error:
            row["slope"] = str(error)
        else:
            say = partial(run.say, metric)
            for part, e in (("slope", line.slope), ("intercept", line.intercept)):
                row |= {part: say(e.value), f"{part}, 95 % interval": interval(e, say)}
            row["largest residual"] = say(float(np.abs(line.residuals).max()))
        rows[run.name(kind)] = row
    return _table(run, rows)


def parts(run: Run, metrics: list[str]) -> pd.DataFrame:
    """One row an arm, one column a metric: medians as text, a dash where the arm has none such."""
    return _table(run, {run.name(kind): _medians(run, kind, metrics) for kind in run.arms})


def samples(run: Run) -> pd.DataFrame:
    """Every sample, a row each, as numbers; a metric, a phase and a note each have a column."""
    return pd.json_normalize([asdict(sample) for sample in run.samples]).rename(
        columns=lambda name: name.removeprefix("values.")
    )


def _medians(run: Run, kind: str, metrics: list[str]) -> dict[str, str]:
    """Label of a metric -> its median as text, of those that an arm has."""
    return {
        run.plan["metrics"][metric]["label"]: run.say(metric, run.median(kind, metric).value)
        for metric in metrics
        if run.kept(kind, metric)
    }


def _table(run: Run, rows: dict[str, dict]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
    table.index.name = f"{run.experiment}, profile {run.profile}"
    return table

"""A run as data: the plan, every raw sample, and the machine; kept as JSON with a schema and a version."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import fastjsonschema
import numpy as np
import pandas as pd

from boxlab import paths, stats
from boxlab.errors import RecordError

SCHEMA = "containers-measured/record"
VERSION = 1

NOT_MEASURED = "not measured here"

STORE = "BOXLAB_STORE"
"""Environment variable: set where records are to be those behind the stored outputs, and not this machine's own."""


@dataclass
class Sample:
    """One start of one box."""

    arm: str
    round: int
    position: int
    discarded: bool
    seconds: float | None
    marks: dict[str, float]
    stop_seconds: float | None
    machine_cpu_seconds: float
    error: str | None = None


@dataclass
class Run:
    """One run of one experiment. `record.schema.json` says what `plan` and `provenance` hold."""

    experiment: str
    profile: str
    created: str
    plan: dict
    provenance: dict
    samples: list[Sample] = field(default_factory=list)
    complete: bool = False

    @property
    def arms(self) -> list[str]:
        """Kinds of the arms that ran, in the plan's order."""
        return [arm["kind"] for arm in self.plan["arms"]]

    def arm(self, kind: str) -> dict:
        """The plan of one arm."""
        return next(arm for arm in self.plan["arms"] if arm["kind"] == kind)

    def accelerator(self) -> str | None:
        """What ran the virtual machines, in the words of every caption; None where none ran."""
        labels = {
            arm["details"]["accelerator"]["label"] for arm in self.plan["arms"] if "accelerator" in arm["details"]
        }
        return ", ".join(sorted(labels)) or None

    def frame(self) -> pd.DataFrame:
        """Every sample, a row each."""
        return pd.DataFrame([asdict(sample) for sample in self.samples])

    def kept(self, kind: str) -> dict[int, float]:
        """Seconds of the starts of one arm that count, by round."""
        return {sample.round: sample.seconds for sample in self._kept(kind)}

    def median(self, kind: str) -> stats.Estimate:
        """Median start of one arm in seconds.

        Raises:
            RecordError: no start of it succeeded.
        """
        return stats.median(self._values(kind))

    def ratio(self, kind: str, to: str) -> stats.Estimate:
        """Ratio of the median starts of two arms, over the rounds in which both succeeded."""
        rounds = sorted(self.kept(kind).keys() & self.kept(to).keys())
        if not rounds:
            raise RecordError(f"no round in which both {kind} and {to} became ready")
        return stats.ratio([self.kept(kind)[r] for r in rounds], [self.kept(to)[r] for r in rounds])

    def typical(self, kind: str) -> Sample:
        """The kept sample nearest to the median: a real start, whose phases add up."""
        middle = self.median(kind).value
        return min(self._kept(kind), key=lambda sample: abs(sample.seconds - middle))

    def stop_median(self, kind: str) -> float:
        """Median time of one arm from being told to end until it was gone, in seconds."""
        return float(np.median([s.stop_seconds for s in self._kept(kind)]))

    def failures(self, kind: str) -> list[str]:
        """Why starts of one arm failed, discarded rounds included."""
        return [s.error for s in self.samples if s.arm == kind and s.error]

    def table(self, reference: str = "container") -> pd.DataFrame:
        """One row an arm: how often, median and interval, spread, ratio to `reference`, failures, and whether it is stable."""
        rows = {}
        for kind in self.arms:
            values = np.array(list(self.kept(kind).values()))
            row = {"n": len(values), "failed": len(self.failures(kind))}
            if len(values):
                median = stats.median(values)
                low, high = np.percentile(values, [25, 75])
                row |= {
                    "median": seconds(median.value),
                    "95 % interval": f"{seconds(median.low)} – {seconds(median.high)}",
                    "middle half": f"{seconds(low)} – {seconds(high)}",
                    "stop": seconds(self.stop_median(kind)),
                    "stable": "; ".join(stats.instability(values)) or "yes",
                }
                if kind != reference and self.kept(reference):
                    against = self.ratio(kind, reference)
                    row[f"× {reference}"] = f"{times(against.value)} ({times(against.low)} – {times(against.high)})"
            rows[self._name(kind)] = row
        table = pd.DataFrame.from_dict(rows, orient="index").fillna("–")
        table.index.name = f"start, profile {self.profile}"
        return table

    def texts(self) -> dict[str, str]:
        """Every number of this run as text, under the name by which the prose quotes it.

        For each arm KIND: KIND_median, KIND_low, KIND_high (interval of the median), KIND_n, KIND_failed, KIND_stop,
        KIND_stable, KIND_vs_OTHER (ratio of medians with its interval), KIND_MARK (end of a phase in the typical start)
        and KIND_MARK_took (its length). An arm that did not run here has "not measured here" under each name.
        """
        kinds = [*self.arms, *self.plan["left_out"]]
        texts = {
            "caption": self.caption(),
            "machine": self.machine(),
            "accelerator": self.accelerator() or "nothing: no virtual machine ran here",
            "rounds": str(self.plan["rounds"]),
            "profile": self.profile,
            "cpus": str(self.plan["workload"]["cpus"]),
            "memory": f"{self.plan['workload']['memory_mib']} MiB",
        }
        for kind in kinds:
            phases = (
                self.plan["left_out"][kind]["phases"] if kind in self.plan["left_out"] else self.arm(kind)["phases"]
            )
            names = ["median", "low", "high", "n", "failed", "stop", "stable"]
            names += [f"vs_{other}" for other in kinds if other != kind]
            names += [name for mark in phases for name in (mark, f"{mark}_took")]
            texts |= dict.fromkeys((f"{kind}_{name}" for name in names), NOT_MEASURED)
            values = np.array(list(self.kept(kind).values()))
            texts[f"{kind}_failed"] = str(len(self.failures(kind)))
            if not len(values):
                continue
            median, sample = stats.median(values), self.typical(kind)
            texts |= {
                f"{kind}_median": seconds(median.value),
                f"{kind}_low": seconds(median.low),
                f"{kind}_high": seconds(median.high),
                f"{kind}_n": str(len(values)),
                f"{kind}_stop": seconds(self.stop_median(kind)),
                f"{kind}_stable": "; ".join(stats.instability(values)) or "yes",
            }
            before = 0.0
            for mark in (mark for mark in phases if mark in sample.marks):
                texts[f"{kind}_{mark}"] = seconds(sample.marks[mark])
                texts[f"{kind}_{mark}_took"] = seconds(sample.marks[mark] - before)
                before = sample.marks[mark]
            for other in kinds:
                if other != kind and self.kept(kind).keys() & self.kept(other).keys():
                    against = self.ratio(kind, other)
                    texts[f"{kind}_vs_{other}"] = (
                        f"{times(against.value)} ({times(against.low)} – {times(against.high)})"
                    )
        return texts

    def machine(self) -> str:
        """The machine and the engine, in a few words."""
        host, engine = self.provenance["host"], self.provenance["engine"]
        virtual = ", itself a virtual machine" if host["is_virtual"] else ""
        return (
            f"{host['cpu']}, {host['cpus']} CPUs, kernel {host['kernel']}{virtual}; "
            f"Docker Engine {engine['version']}, {engine['storage_driver']}, cgroup v{engine['cgroup_version']}"
        )

    def caption(self) -> str:
        """What was measured, how often, on what: one line that belongs under every plot and table of this run."""
        parts = [f"n = {self.plan['rounds']} rounds after a discarded one (profile {self.profile})", self.machine()]
        if accelerator := self.accelerator():
            parts.append(f"VMs by {accelerator}")
        parts.append(self.created[:10])
        if not self.complete:
            parts.append("INTERRUPTED, fewer rounds than planned")
        return " · ".join(parts)

    def save(self, name: str) -> Path:
        """Write the record to notebooks/results, whole or not at all.

        Args:
            name: such as "06-startup". The file is NAME.json with `BOXLAB_STORE` set, else NAME.local.json, which git ignores.
        """
        suffix = ".json" if os.environ.get(STORE) else ".local.json"
        path = paths.RESULTS / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = paths.scratch() / path.name
        draft.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
        return path

    def to_json(self) -> dict:
        """The record as plain data, checked against the schema."""
        data = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        _validate()(data)
        return data

    def _kept(self, kind: str) -> list[Sample]:
        return [s for s in self.samples if s.arm == kind and not s.discarded and s.seconds is not None]

    def _values(self, kind: str) -> np.ndarray:
        values = np.array(list(self.kept(kind).values()))
        if not len(values):
            raise RecordError(
                f"no start of {kind} succeeded: {'; '.join(self.failures(kind)) or 'it was not part of the run'}"
            )
        return values

    def _name(self, kind: str) -> str:
        arm = self.arm(kind)
        return f"{arm['label']} (TCG)" if arm["emulated"] else arm["label"]


def load(path: Path | str) -> Run:
    """Read a record.

    Raises:
        RecordError: it is missing, truncated, not a record, or of a version that this code does not know.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"there is no record {path}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is not a whole record: {error}", "measure again") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise RecordError(f"{path} is JSON and not a record of ours")
    if data.get("version") != VERSION:
        raise RecordError(f"{path} has version {data.get('version')}, and this code reads {VERSION}", "update boxlab")
    try:
        _validate()(data)
    except fastjsonschema.JsonSchemaValueException as error:
        raise RecordError(f"{path} is not a valid record: {error.message[:200]}") from error
    samples = [Sample(**sample) for sample in data["samples"]]
    return Run(**{k: v for k, v in data.items() if k not in ("schema", "version", "samples")}, samples=samples)


def seconds(value: float) -> str:
    """A time as text with three significant digits: 21.3 ms, 2.55 s; a dash where there is none (NaN)."""
    if np.isnan(value):
        return "–"
    return f"{_three(value * 1000)} ms" if value < 1 else f"{_three(value)} s"


def times(value: float) -> str:
    """A ratio as text with two significant digits: 0.11, 12; a dash where there is none (NaN)."""
    if np.isnan(value):
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _three(value: float) -> str:
    digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 2
    return f"{value:.{digits}f}"


@cache
def _validate() -> Callable[[dict], dict]:
    return fastjsonschema.compile(json.loads(Path(__file__).with_name("record.schema.json").read_text()))

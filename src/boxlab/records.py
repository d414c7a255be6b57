"""A record: one run of one experiment as data: the plan, every raw sample, and the machine; kept as JSON with a schema and a version."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import numpy as np

from boxlab import catalogue, disk, formatting, labels, paths, profiles, stats
from boxlab.errors import RecordError
from boxlab.language import _

SCHEMA = "containers-measured/record"
VERSION = 4

STORE = "BOXLAB_STORE"
"""Environment variable: set where records are to be those behind the stored outputs, and not this machine's own."""


@dataclass
class Sample:
    """One measurement of one arm: a start, a box at rest, an image, a trial.

    Attributes:
        arm: kind of the arm.
        round: number of the block that it belongs to, from zero.
        position: its place in the block, from zero.
        discarded: whether the block only warms up; kept in the record and not counted.
        level: the step on the plan's scale, such as the number of instances; None where there is none.
        values: metric -> number in the unit that the plan's `metrics` state; what was not to be had is missing.
        marks: end of a phase -> seconds from t0.
        notes: what happened, where a number cannot say it: an id that the experiment has words for, or what a machine said.
        error: why it failed; None where it did not.
    """

    arm: str
    round: int
    position: int
    discarded: bool
    level: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    marks: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it belongs to the result: what a failure has measured on its way does not."""
        return not self.discarded and self.error is None


@dataclass
class Record:
    """One run of one experiment, as data. `record.schema.json` says what `plan` and `provenance` hold.

    Where a method takes a `metric`, None stands for the experiment's main one.
    """

    experiment: str
    profile: str
    created: str
    plan: dict[str, Any]
    provenance: dict[str, Any]
    samples: list[Sample] = field(default_factory=list)
    complete: bool = False

    @property
    def arms(self) -> list[str]:
        """Kinds of the arms that ran, in the plan's order."""
        return [arm["kind"] for arm in self.plan["arms"]]

    def arm(self, kind: str) -> dict[str, Any]:
        """The plan of one arm."""
        return next(arm for arm in self.plan["arms"] if arm["kind"] == kind)

    def name(self, kind: str, emulated: str = " (TCG)") -> str:
        """How plots and tables call an arm; one that was emulated carries `emulated`."""
        return catalogue.named(self.experiment).arm(kind) + (emulated if self.arm(kind)["emulated"] else "")

    def label(self, metric: str) -> str:
        """How plots and tables call a metric."""
        return catalogue.named(self.experiment).metric(metric)

    @property
    def main(self) -> str:
        """The metric that the experiment is about."""
        return str(next(iter(self.plan["metrics"])))

    @property
    def levels(self) -> list[int]:
        """The steps of the plan's scale, in order; empty where it has none."""
        return sorted(self.plan.get("levels", ()))

    def accelerator(self) -> str | None:
        """What ran the virtual machines, in the words of every caption; None where none ran."""
        details = [arm["details"] for arm in self.plan["arms"]]
        return ", ".join(sorted({labels.accelerator(found) for found in details if "accelerator" in found})) or None

    def counted(self, kind: str, metric: str | None = None) -> list[Sample]:
        """The samples of one arm that count and have the metric."""
        metric = metric or self.main
        return [s for s in self.samples if s.arm == kind and s.counts and metric in s.values]

    def kept(self, kind: str, metric: str | None = None, level: int | None = None) -> dict[int, float]:
        """Values of one arm that count, by round."""
        metric = metric or self.main
        return {sample.round: sample.values[metric] for sample in self.counted(kind, metric) if sample.level == level}

    def median(self, kind: str, metric: str | None = None, level: int | None = None) -> stats.Estimate:
        """Median of one arm with its interval, in the metric's unit.

        Raises:
            RecordError: it has no value.
        """
        values = list(self.kept(kind, metric, level).values())
        if not values:
            raise RecordError(
                _(
                    "nothing of {arm} was measured: {reason}",
                    arm=kind,
                    reason="; ".join(self.failures(kind)) or _("it was not part of the run"),
                )
            )
        return stats.median(values)

    def together(self, kind: str, other: str, metric: str | None = None) -> list[int]:
        """The rounds in which both of two arms succeeded: without one they have no `ratio`."""
        return sorted(self.kept(kind, metric).keys() & self.kept(other, metric).keys())

    def ratio(self, kind: str, to: str, metric: str | None = None) -> stats.Estimate:
        """Ratio of the medians of two arms, over the rounds in which both succeeded."""
        one, other = self.kept(kind, metric), self.kept(to, metric)
        if not (rounds := self.together(kind, to, metric)):
            raise RecordError(_("no round in which both {arm} and {other} were measured", arm=kind, other=to))
        return stats.ratio([one[r] for r in rounds], [other[r] for r in rounds])

    def points(self, kind: str, metric: str | None = None, least: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Levels and values of one arm's samples that count, from level `least` up."""
        metric = metric or self.main
        chosen = [(s.level, s.values[metric]) for s in self.counted(kind, metric) if (s.level or 0) >= least]
        return np.array([level for level, _ in chosen]), np.array([value for _, value in chosen])

    def line(self, kind: str, metric: str | None = None, least: int = 1) -> stats.Line:
        """The line through one arm's values over the levels from `least` up: straight, or bent where they bend.

        Raises:
            RecordError: fewer than three points, or all on one level.
        """
        levels, values = self.points(kind, metric, least)
        if len(levels) < 3 or len(set(levels)) < 2:
            raise RecordError(_("too few points of {arm} for a line: {count}", arm=kind, count=len(levels)))
        return stats.fitting_line(levels, values)

    def fits(self, kind: str, budget: float) -> tuple[int, bool]:
        """How many instances of one arm `budget` holds by the line through its values, and whether that is a bound only.

        Never more than twice as many as were run: beyond, the line is a guess. Then the number is that limit, and the
        second value is true: at least so many.

        Raises:
            RecordError: too few points.
        """
        line = self.line(kind)
        limit = int(2 * max(self.points(kind)[0]))
        count = int(np.sum(line.at(np.arange(1, limit + 1)) <= budget))
        return count, count == limit

    def typical(self, kind: str) -> Sample:
        """The kept sample nearest to the median: a real one, whose phases add up."""
        middle = self.median(kind).value
        return min(self.counted(kind), key=lambda sample: abs(sample.values[self.main] - middle))

    def failures(self, kind: str) -> list[str]:
        """Why measurements of one arm failed, discarded rounds included."""
        return [s.error for s in self.samples if s.arm == kind and s.error]

    def said(self, sample: Sample) -> dict[str, str]:
        """What the notes of a sample say."""
        return {name: catalogue.named(self.experiment).note(text) for name, text in sample.notes.items()}

    def say(self, metric: str, value: float) -> str:
        """A value of `metric` as text."""
        return formatting.quantity(value, self.plan["metrics"][metric]["unit"])

    def save(self, name: str) -> Path:
        """Write the record to notebooks/results, whole or not at all.

        Args:
            name: such as "06-startup". The file is NAME.json with `BOXLAB_STORE` set, else NAME.local.json, which git ignores.
        """
        suffix = ".json" if os.environ.get(STORE) else ".local.json"
        path = paths.RESULTS / f"{name}{suffix}"
        disk.write(path, json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")
        return path

    def to_json(self) -> dict[str, Any]:
        """The record as plain data, checked against the schema; where this project and its reader live is no part of it."""
        data: dict[str, Any] = _without_places({"schema": SCHEMA, "version": VERSION, **asdict(self)})
        _validate()(data)
        return data


def _without_places(data: Any) -> Any:
    """The same data, with "PROJECT" and "HOME" for the folders that are this machine's alone."""
    if isinstance(data, dict):
        return {_without_places(key): _without_places(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_places(value) for value in data]
    if not isinstance(data, str):
        return data
    places = {"PROJECT/.cache": paths.CACHE, "PROJECT": paths.ROOT, "HOME": Path(os.path.expanduser("~"))}
    for name, folder in places.items():
        for path in {folder, folder.resolve()} - {Path("/")}:
            data = re.sub(rf"(?<![\w.-]){re.escape(str(path))}(?![\w.-])", name, data)
    return data


def load(path: Path | str) -> Record:
    """Read a record.

    Raises:
        RecordError: it is missing, truncated, not a record, or of a version that this code does not know.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(_("there is no record {path}", path=path)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            _("{path} is not a whole record: {error}", path=path, error=error), _("measure again")
        ) from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise RecordError(_("{path} is JSON and not a record of ours", path=path))
    version = data.get("version")
    if version not in (*_UPGRADES, VERSION):
        raise RecordError(
            _(
                "{path} has version {version}, and this code reads up to {known}",
                path=path,
                version=version,
                known=VERSION,
            ),
            _("update boxlab"),
        )
    try:
        while data["version"] != VERSION:
            data = _UPGRADES[data["version"]](data)
        _validate()(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            _("{path} is not a valid record of version {version}: {error!r}", path=path, version=version, error=error)
        ) from error
    except fastjsonschema.JsonSchemaValueException as error:
        raise RecordError(_("{path} is not a valid record: {reason}", path=path, reason=error.message[:200])) from error
    samples = [Sample(**sample) for sample in data["samples"]]
    return Record(**{k: v for k, v in data.items() if k not in ("schema", "version", "samples")}, samples=samples)


STARTS = {
    "seconds": {"unit": "s", "label": ""},
    "stop": {"unit": "s", "label": ""},
    "machine_cpu": {"unit": "s", "label": "", "in_table": False},
}
"""All that records of version 1 hold."""


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew starts alone, and had their three times as fields."""
    names = {"seconds": "seconds", "stop_seconds": "stop", "machine_cpu_seconds": "machine_cpu"}

    def sample(old: dict[str, Any]) -> dict[str, Any]:
        values = {new: old[name] for name, new in names.items() if old[name] is not None}
        return {name: value for name, value in old.items() if name not in names} | {"values": values}

    return data | {
        "version": 2,
        "plan": data["plan"] | {"metrics": STARTS},
        "samples": [sample(old) for old in data["samples"]],
    }


def _from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 took sizes as the engine gave them, which are unpacked on one image store and compressed on another."""

    def renamed(values: dict[str, Any]) -> dict[str, Any]:
        return {"engine_size" if name == "size" else name: value for name, value in values.items()}

    plan, samples = data["plan"], data["samples"]
    if data["experiment"] == "dockerfile":
        metrics = renamed(plan["metrics"])
        metrics["engine_size"] = {"unit": "B", "label": ""}
        plan = plan | {"metrics": metrics}
        samples = [sample | {"values": renamed(sample["values"])} for sample in samples]
    elif data["experiment"] == "size" and data["provenance"]["engine"]["storage_driver"] == "overlayfs":
        plan = plan | {"metrics": plan["metrics"] | {"packed": {"unit": "B", "label": ""}}}
        samples = [sample | {"values": _with_packed(sample["values"])} for sample in samples]
    return data | {"version": 3, "plan": plan, "samples": samples}


def _with_packed(values: dict[str, Any]) -> dict[str, Any]:
    """Sizes on containerd's image store, with the compressed form that it keeps as well: what travels."""
    if "image" not in values:  # a virtual machine
        return values
    return values | {"packed": values["transfer"], "total": values["total"] + values["transfer"]}


def _from_version_3(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 held what arms, metrics, phases and accelerators are called, in English."""
    ids = {said: name for name, said in labels.PHASES.items()}

    def arm(old: dict[str, Any]) -> dict[str, Any]:
        details, accelerator = old["details"], old["details"].get("accelerator")
        if accelerator:
            details = details | {"accelerator": {k: v for k, v in accelerator.items() if k != "label"}}
        phases = {mark: ids.get(said, said) for mark, said in old["phases"].items()}
        return {k: v for k, v in old.items() if k != "label"} | {"phases": phases, "details": details}

    plan = {k: v for k, v in data["plan"].items() if k != "level_means"}
    metrics = {name: {k: v for k, v in facts.items() if k != "label"} for name, facts in plan["metrics"].items()}
    return data | {"version": 4, "plan": plan | {"metrics": metrics, "arms": [arm(old) for old in plan["arms"]]}}


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_version_1,
    2: _from_version_2,
    3: _from_version_3,
}
"""What makes of a record of this version one of the next."""


@cache
def _validate() -> Callable[[dict[str, Any]], dict[str, Any]]:
    schema = json.loads(Path(__file__).with_name("record.schema.json").read_text())
    schema["properties"]["experiment"]["enum"] = [experiment.name for experiment in catalogue.EXPERIMENTS]
    schema["properties"]["profile"]["enum"] = list(profiles.ALL)
    return fastjsonschema.compile(schema)

"""The report of one check of a lab: as text, as HTML in a notebook, and as JSON with a schema and a version."""

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from boxlab.errors import BoxlabError, of_system
from boxlab.labs.checks import Outcome, Result
from boxlab.language import _, several

SCHEMA = "containers-measured/lab-report"
VERSION = 2
"""Version 2 has the seed of what was drawn, and what held the programs."""

MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.SKIPPED: "–", Outcome.INFRASTRUCTURE: "!"}
COLOURS = {
    Outcome.PASS: "green",
    Outcome.FAIL: "red",
    Outcome.SKIPPED: "bright_black",
    Outcome.INFRASTRUCTURE: "yellow",
}
ROWS = ("expected", "actual", "why", "next", "reason", "fix")
NAMES = {
    "expected": _("expected"),
    "actual": _("actual"),
    "why": _("why"),
    "next": _("next"),
    "reason": _("because"),
    "fix": _("fix"),
}
OUTCOMES = {
    Outcome.PASS: _("pass"),
    Outcome.FAIL: _("fail"),
    Outcome.SKIPPED: _("skipped"),
    Outcome.INFRASTRUCTURE: _("infrastructure"),
}
"""How rows and outcomes are called where they are drawn; in data they have their own names."""

WIDTH = 10

SHOWN = 5
"""How many files are named that were not read."""

GRID = "display:grid;grid-template-columns:6em 1fr;margin:0 0 .6em 1.5em"
VALUE = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"
"""How a notebook shows names beside values: a caret must stand below its character."""


@dataclass
class Report:
    """What holds, what does not, why, and what to do next.

    Attributes:
        lab: its id.
        of: the points that there are.
        created: when the check began, in UTC.
        seconds: how long it took, all in all.
        seed: of what the checks drew: `boxlab check --seed` draws the same.
        held: what held the learner's programs, where it was not a container.
        trouble: what went wrong beside the checks, such as progress that could not be kept; a line and its fix each.
        further: what lies beside the files that are handed in, and was not read.
        laid: what was missing in the learner's copy, and was laid in from the starter.
    """

    lab: str
    title: str
    of: int
    created: str
    seconds: float = 0.0
    seed: int = 0
    held: str = ""
    results: list[Result] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    further: list[str] = field(default_factory=list)
    laid: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note what goes wrong beside the checks: a verdict that is known is not lost by it."""
        try:
            yield
        except OSError as error:
            self.trouble.append(f"{what}: {of_system(error)}")
        except BoxlabError as error:
            self.trouble.append(f"{what}: {error}")

    @property
    def outcome(self) -> Outcome:
        """Of the whole: infrastructure wherever something could not be checked, else fail if anything failed."""
        outcomes = {result.outcome for result in self.results}
        for outcome in (Outcome.INFRASTRUCTURE, Outcome.FAIL):
            if outcome in outcomes:
                return outcome
        return Outcome.PASS if outcomes == {Outcome.PASS} else Outcome.INFRASTRUCTURE

    @property
    def points(self) -> int:
        return sum(result.points for result in self.results)

    def named(self, *outcomes: Outcome) -> list[str]:
        """Names of the checks with one of these outcomes."""
        return [result.name for result in self.results if result.outcome in outcomes]

    def to_json(self) -> dict[str, Any]:
        """As data, valid by report.schema.json."""
        head = {"schema": SCHEMA, "version": VERSION, "lab": self.lab, "title": self.title, "created": self.created}
        head |= {"seed": self.seed, "held": self.held}
        totals = {"outcome": self.outcome, "points": self.points, "of": self.of, "seconds": round(self.seconds, 3)}
        return head | totals | {"checks": [asdict(result) for result in self.results]}

    def closing(self) -> str:
        """What the whole comes to, in one line."""
        if self.outcome == Outcome.PASS:
            return several(
                "passed: {points} of {count} points. `boxlab solution {lab}` shows another way",
                "passed: {points} of {count} points. `boxlab solution {lab}` shows another way",
                self.of,
                points=self.points,
                lab=self.lab,
            )
        if self.outcome == Outcome.INFRASTRUCTURE:
            return several(
                "{points} of {count} points hold; the rest could not be checked: no fault of your answer",
                "{points} of {count} points hold; the rest could not be checked: no fault of your answer",
                self.of,
                points=self.points,
            )
        return several(
            "{points} of {count} points so far; stuck? `boxlab hint {lab}`",
            "{points} of {count} points so far; stuck? `boxlab hint {lab}`",
            self.of,
            points=self.points,
            lab=self.lab,
        )

    def to_text(self, width: int | None = None, colours: bool = False) -> str:
        """As text for a terminal, folded at `width` columns."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(width=width, force_terminal=colours or None, highlight=False, emoji=False)
        with console.capture() as capture:
            console.print(Text(f"{self.lab}: {self.title}", style="bold"))
            for result in self.results:
                colour = COLOURS[result.outcome]
                head = Text.assemble((MARKS[result.outcome], colour), " ", result.says)
                if earned := _earned(result):
                    head.append(f"  {earned}", style="bright_black")
                console.print(head)
                if not (rows := self._rows(result)):
                    continue
                table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
                table.add_column(min_width=WIDTH)
                table.add_column(overflow="fold")
                for name, value in rows:
                    table.add_row(Text("  " + name, style="bright_black"), Text(value))
                console.print(table)
            console.print(Text(self.closing(), style=COLOURS[self.outcome]))
            for line in self._remarks():
                console.print(Text(line, style="bright_black"))
            for line in self.trouble:
                console.print(Text(line, style=COLOURS[Outcome.INFRASTRUCTURE]))
        return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())

    def _remarks(self) -> list[str]:
        """What is said below the whole: what was not read and how it can be drawn again, where something did not hold, and more."""
        command = f"boxlab check {self.lab} --seed {self.seed}"
        again = _("draws the same again: {command}", command=command)
        further = _("not handed in, and not read: {files}", files=", ".join(self.further[:SHOWN]))
        laid = _("was missing, and is the starter's now: {files}", files=", ".join(self.laid))
        lines = (
            laid if self.laid else "",
            further if self.further and self.outcome == Outcome.FAIL else "",
            again if self.outcome != Outcome.PASS else "",
            self.held,
        )
        return [line for line in lines if line]

    def _rows(self, result: Result) -> list[tuple[str, str]]:
        """What is said of one check below its first line."""
        others = self.named(Outcome.FAIL, Outcome.INFRASTRUCTURE)
        if result.outcome == Outcome.SKIPPED and len(others) == 1:
            return []  # all that is skipped waits for that one
        rows = []
        for name in ROWS:
            if not (value := getattr(result, name)):
                continue
            rows.append((NAMES[name], value))
            if name == "actual" and result.where:
                rows.append(("", " " * (result.caret or 0) + "^"))
                rows.append((_("first"), result.where))
        previous = self.results[: self.results.index(result)]
        repeated = result.outcome == Outcome.INFRASTRUCTURE and any(
            earlier.reason == result.reason for earlier in previous
        )
        if repeated:
            return []  # said already
        return rows

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        escape = html.escape
        parts = [f"<div class='boxlab-report'><strong>{escape(self.lab)}: {escape(self.title)}</strong>"]
        for result in self.results:
            head = (
                f"{MARKS[result.outcome]} <em>{OUTCOMES[result.outcome]}</em> {escape(result.says)} {_earned(result)}"
            )
            parts.append(f"<div>{head.rstrip()}</div>")
            cells = [
                f"<span>{escape(name)}</span><span style='{VALUE}'>{escape(value)}</span>"
                for name, value in self._rows(result)
            ]
            parts += [f"<div style='{GRID}'>{''.join(cells)}</div>"] if cells else []
        parts.append(f"<div><strong>{escape(self.closing())}</strong></div>")
        parts += [f"<div style='{VALUE}'>{escape(line)}</div>" for line in [*self._remarks(), *self.trouble]]
        return "".join([*parts, "</div>"])

    def __repr__(self) -> str:
        return self.to_text(width=120)


def _earned(result: Result) -> str:
    """Its points of those that there are, where it was judged and is worth any."""
    judged = result.outcome in (Outcome.PASS, Outcome.FAIL)
    return f"({result.points}/{result.of})" if judged and result.of else ""


def validate(data: dict[str, Any], schema: str = "report.schema.json") -> None:
    """Hold a report's data, or what else has a schema here, against it.

    Raises:
        fastjsonschema.JsonSchemaException: it is not one.
    """
    import fastjsonschema

    fastjsonschema.validate(json.loads(Path(__file__).with_name(schema).read_text(encoding="utf-8")), data)

"""A check: a function that returns or says what does not hold; its outcome as data."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from boxlab.errors import LabError, without_credentials
from boxlab.language import _, several

if TYPE_CHECKING:  # it imports this module
    from boxlab.labs.work import Work

CONTEXT = 30
"""How many characters are shown on each side of the first difference."""

COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""What tells a terminal to change its colour or to move its cursor."""

MISTAKE = _("a mistake in the checks, not in your answer")
"""How the reason of an infrastructure begins that is our own."""

SHOWN = 2000
"""How many characters of a text are shown where it is not compared."""


DEADLINE_S = 1800
"""How long a check may take that says nothing else: a check that hangs must end, and one on a slow machine must not."""

SLACK = 2
"""What a learner has written may take so many times as long as what is known to be right."""


class Outcome(StrEnum):
    """What became of a check; infrastructure counts neither against the learner nor as a pass."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"
    INFRASTRUCTURE = "infrastructure"


class Mismatch(Exception):
    """A wrong answer.

    Attributes:
        expected, actual: one line each where that will do, without a full stop.
        why: the rule behind it; never the solution.
        next: what to do now.
        where: the place of the first difference, where two texts were compared.
        caret: how many characters of `expected` and `actual` are alike.
    """

    def __init__(self, expected: str, actual: str, why: str, next: str, where: str = "", caret: int | None = None):
        super().__init__(actual)
        self.expected, self.actual = (text if where else clip(visible(text)) for text in (expected, actual))
        self.why, self.next, self.where, self.caret = why, next, where, caret


def same(expected: str, actual: str, *, why: str, next: str) -> None:
    """Raise a `Mismatch` that shows the first difference of two texts, if there is one."""
    if expected == actual:
        return
    ours, theirs = expected.split("\n"), actual.split("\n")
    row = next_difference(ours, theirs)
    one, other = (lines[row] if row < len(lines) else None for lines in (ours, theirs))
    column = next_difference(one or "", other or "")
    start = max(0, column - CONTEXT)

    def window(line: str | None) -> str:
        if line is None:
            return _("(no more lines)")
        cut = visible(line[start : column + CONTEXT])
        return ("..." if start else "") + cut + ("..." if len(line) > column + CONTEXT else "")

    def character(line: str | None) -> str:
        if line is None:
            return _("the end of the text")
        return repr(line[column]) if column < len(line) else _("the end of the line")

    raise Mismatch(
        window(one),
        window(other),
        why,
        next,
        where=_(
            "line {line}, column {column}: expected {expected}, got {actual}",
            line=row + 1,
            column=column + 1,
            expected=character(one),
            actual=character(other),
        ),
        caret=len(visible((one or "")[start:column])) + (3 if start else 0),
    )


def next_difference(one: Iterable[object], other: Iterable[object]) -> int:
    """How many items two sequences have in common at their beginning."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def visible(text: str) -> str:
    """`text` with what does not print, or would move a terminal's cursor, written as escapes; line ends stay."""

    def shown(character: str) -> str:
        if character == "\n" or character.isprintable():
            return character
        return character.encode("unicode_escape", "surrogatepass").decode()

    return "".join(map(shown, text))


def printed(text: str) -> str:
    """What a program printed, as a message shows it: without colours, tabs as spaces, and where there is nothing, saying so."""
    return visible(without_credentials(COLOURS.sub("", text)).expandtabs()).strip() or _("(nothing)")


def clip(text: str) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= SHOWN:
        return text
    half = SHOWN // 2
    left_out = several("… {count} characters left out …", "… {count} characters left out …", len(text) - 2 * half)
    return f"{text[:half]}\n{left_out}\n{text[-half:]}"


@dataclass(frozen=True)
class Check:
    """A check, and what is known of it before it runs.

    Attributes:
        says: what it asserts, for the learner.
        timeout: seconds after which it is given up, as infrastructure.
        needs: names of checks that must have passed before.
    """

    name: str
    says: str
    points: int
    timeout: float
    needs: tuple[str, ...]
    function: "Callable[[Work], object]" = field(compare=False, repr=False)

    def __call__(self, work: "Work") -> object:
        return self.function(work)


@dataclass
class Result:
    """What became of one check.

    Attributes:
        points: earned, `of` those that there are.
        seconds: how long it took.
        reason, fix: of infrastructure, and of a check that was skipped.
    """

    name: str
    says: str
    of: int
    outcome: Outcome
    points: int = 0
    seconds: float = 0.0
    expected: str = ""
    actual: str = ""
    why: str = ""
    next: str = ""
    where: str = ""
    caret: int | None = None
    reason: str = ""
    fix: str = ""


def check(
    *, points: int = 1, timeout: float = DEADLINE_S, needs: Iterable[Check] = ()
) -> "Callable[[Callable[[Work], object]], Check]":
    """Make a function of a `Work` a check; its docstring is what the learner reads.

    Args:
        points: what it is worth.
        timeout: seconds after which it is given up, as infrastructure: the verbs that it uses end sooner by themselves, on any machine.
        needs: checks that must pass before.
    """

    def mark(function: "Callable[[Work], object]") -> Check:
        if not function.__doc__:
            raise LabError(_("the check {name} says nothing", name=function.__name__), _("give it a docstring"))
        names = tuple(needed.name for needed in needs)
        says = _(" ".join(function.__doc__.split()))
        return Check(function.__name__, says, points, timeout, names, function)

    return mark


def load(path: Path) -> tuple[list[Check], ModuleType]:
    """The checks of a file, in the order in which they stand, and its module."""
    module = ModuleType(f"boxlab_lab_{abs(hash(path))}")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), path, "exec"), vars(module))  # an import would leave a folder beside it
    return [value for value in vars(module).values() if isinstance(value, Check)], module

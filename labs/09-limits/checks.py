"""Lab 09: two containers run with the learner's options; one works, then forks and takes memory without end."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, several

MIB = 1 << 20
IMAGE = "containers-measured/base"
SERVICE, NEIGHBOR = (Path(__file__).with_name(f"{name}.py").read_text() for name in ("service", "neighbor"))

MOST_MIB, MOST_PROCESSES = 256, 200
"""Where the neighbor stops by itself. It counts as having taken the whole machine then."""

BOUND = {"memory_mib": 384, "processes": 256}
"""The limits that hold whatever the learner says, for the sake of the machine that checks: beyond where the neighbor stops."""

REHEARSE = _("`.venv/bin/python work/09-limits/limits.py` shows what `options` says about the example")

ENDS_S, ANSWERS_S = 60, 20
"""How long the neighbor may live, and the service think."""

KILLED = 128 + 9
"""Exit status of what ended by SIGKILL."""

SIZES = {"text": '"64m"', "units": "b, k, m", "last": "g", "limit": "mem_limit"}
FORMS = {
    "mem_limit": _(
        "a text such as {text} (units are one letter: {units} or {last}), or a whole number of bytes, of at least 6 MiB",
        **SIZES,
    ),
    "memswap_limit": _(
        "a text such as {text} (units are one letter: {units} or {last}), or a whole number of bytes, of at least 6 MiB, "
        "with a {limit} and not below it, as it is memory and swap together",
        **SIZES,
    ),
    "mem_reservation": _(
        "a text such as {text} (units are one letter: {units} or {last}), or a whole number of bytes, of at least 6 MiB, "
        "not above {limit}",
        **SIZES,
    ),
    "pids_limit": _(
        "a whole number: {int} makes one of a text, and {division} divides into one", int="int(…)", division="//"
    ),
    "restart_policy": _(
        "a dictionary such as {one} or {other}",
        one='{"Name": "no"}',
        other='{"Name": "on-failure", "MaximumRetryCount": 3}',
    ),
    "init": _("{yes} or {no}", yes="True", no="False"),
}
"""The options that may be set, and what each wants."""


def draw(random: Random) -> list[dict]:
    """A small machine and a large one.

    What the small one has to spare is too little for the work of the other's neighbor, and that has hardly more than its work
    needs. So no rule that leaves the service out is right about both, in any draw: no fixed amount, no share of the machine, of
    what is spare or of the service's need, no multiple of the neighbor's need, no fixed amount for the service.
    """
    drawn = []
    for service_mib, work_mib, more_mib, service, work, more in (
        (range(110, 126), range(36, 45), range(24, 27), range(17, 21), range(4, 7), range(12, 15)),
        (range(80, 96), range(88, 97), range(2, 6), range(8, 14), range(30, 41), range(1, 3)),
    ):
        busy = {"memory_mib": random.choice(service_mib), "processes": random.choice(service)}
        needs = {"memory_mib": random.choice(work_mib), "processes": random.choice(work)}
        more_of = {"memory_mib": random.choice(more_mib), "processes": random.choice(more)}
        whole = {what: busy[what] + needs[what] + more_of[what] for what in busy}
        drawn.append(whole | {"service": busy, "neighbor": needs})
    return drawn


def spare(machine: dict, what: str) -> int:
    """How much of it there is beside a busy service."""
    return machine[what] - machine["service"][what]


@dataclass
class Said:
    """What limits.py says to a machine.

    Attributes:
        asked: its options of both.
        settings: what the Docker SDK and the engine make of them.
    """

    machine: dict
    asked: dict
    settings: dict


@cache
def said(work: Work) -> list[Said]:
    """What limits.py says to each machine.

    Raises:
        Mismatch: it fails, or no engine would take what it says.
    """
    machines = draw(work.random)
    calls = [("options", machine) for machine in machines]
    return [read(work, *pair) for pair in zip(machines, work.call("limits", *calls, next=REHEARSE))]


def read(work: Work, machine: dict, answer: object) -> Said:
    """The options of both containers in an answer. None is what the SDK itself takes for an option that is left out.

    Raises:
        Mismatch: they are none.
    """

    def unlike(expected: str, actual: object, next: str) -> Mismatch:
        why = _("a limit that the engine does not understand is no limit")
        return Mismatch(expected, json.dumps(actual), why, next)

    if not isinstance(answer, dict) or set(answer) != {"service", "neighbor"}:
        lacks = _("return one dictionary with these two keys; a function without `return` gives {null}", null="null")
        raise unlike('{"service": {…}, "neighbor": {…}}', answer, lacks)
    asked = {}
    for name, options in answer.items():
        if not isinstance(options, dict):
            expected = _("a dictionary for the service") if name == "service" else _("a dictionary for the neighbor")
            raise unlike(expected, options, _("{empty} says nothing about it", empty="{}"))
        if others := options.keys() - FORMS.keys():
            names = _(
                "this lab allows these names of the Docker SDK for Python alone; `docker run` has others for the same, and swap is "
                "limited by {swap}",
                swap="memswap_limit",
            )
            expected = _("only these options: {names}", names=", ".join(FORMS))
            raise unlike(expected, {name: {other: options[other] for other in sorted(others)}}, names)
        asked[name] = {option: value for option, value in options.items() if value is not None}
    return Said(machine, asked, {name: work.accepted(options, FORMS) for name, options in asked.items()})


@dataclass
class Life:
    """What became of a neighbor, and of the service beside it.

    Attributes:
        machine, asked: what limits.py was told and said.
        limits: what that sets for the neighbor.
        printed: what the neighbor said, up to its end.
        status: its exit status; none if it did not start.
        came_back: whether the engine has started it again.
        swaps: whether the engine cannot keep it from swap.
        at_ease, busy: what was wrong with an answer of the service, if anything: before, and during the attack.
    """

    machine: dict
    asked: dict
    limits: dict
    printed: str = ""
    status: int | None = None
    came_back: bool = False
    swaps: bool = False
    at_ease: str = ""
    busy: str = ""

    @property
    def end(self) -> str:
        """How the neighbor ended, and what it said last."""
        last = self.printed.strip().rpartition("\n")[2] or _("nothing")
        if self.status is None:
            return _("it did not start; its last line: {line}", line=last)
        return _("exit status {status}; its last line: {line}", status=self.status, line=last)


@cache
def lives(work: Work) -> list[Life]:
    """Let both containers run on each machine."""
    return [life(work, each) for each in said(work)]


def life(work: Work, told: Said) -> Life:
    """Let both containers run on one machine; the neighbor only where the service is up."""
    service, neighbor = (work.within(told.settings[name], **BOUND) for name in ("service", "neighbor"))
    service.pop("RestartPolicy", None)  # it is to survive
    seen = Life(told.machine, told.asked, told.settings["neighbor"])
    needs, most = told.machine["neighbor"], (MOST_MIB, MOST_PROCESSES)
    with work.lasting(IMAGE, program(NEIGHBOR, *needs.values(), *most), neighbor) as hog:
        seen.swaps = hog.swaps()
        try:
            with work.container(IMAGE, program(SERVICE, *told.machine["service"].values()), service) as box:
                seen.at_ease = wrong_answer(work, box, "easy")
                if not seen.at_ease:
                    attack(work, hog, box, seen)
        except Mismatch as mismatch:
            seen.at_ease = mismatch.actual
    return seen


def program(source: str, *numbers: int) -> list[str]:
    return ["python3", "-c", source, *map(str, numbers)]


def wrong_answer(work: Work, service, how: str) -> str:
    """What is wrong with the answer to a question drawn at random; nothing if it is right.

    Raises:
        BoxlabError: it lives and is silent, which no limit brings about: the machine is too busy.
    """
    number = work.random.randint(1000, 9999)
    try:
        answer = service.ask(f"{how} {number}", ANSWERS_S)
    except Mismatch as mismatch:
        if getattr(mismatch.__cause__, "hung", False):
            fix = _("check again when the machine is less busy")
            raise BoxlabError(_("the service is silent for {seconds} s", seconds=ANSWERS_S), fix) from mismatch
        return mismatch.actual
    return "" if answer == str(number**2) else answer


def attack(work: Work, neighbor, service, seen: Life) -> None:
    """Start the neighbor, keep the service busy until that has ended and once more, and note what becomes of both."""
    try:
        neighbor.start()
    except Mismatch as mismatch:
        seen.printed = mismatch.actual
        return
    while neighbor.running() and not seen.busy:
        seen.busy = wrong_answer(work, service, "busy")
    seen.status = neighbor.status(ENDS_S)
    seen.busy = seen.busy or wrong_answer(work, service, "busy")
    seen.came_back = seen.status == KILLED and neighbor.starts_again()
    seen.printed = neighbor.printed()


@check(points=1)
def answers(work: Work) -> None:
    """limits.py says options for both containers, and the engine accepts them."""
    said(work)


@check(points=1, needs=[answers])
def works(work: Work) -> None:
    """Both containers start with these options, and the neighbor can do its work."""
    for life in lives(work):
        if life.at_ease:
            raise Mismatch(
                _("the service starts and answers an easy question"),
                _with_options(life.at_ease, life.asked["service"]),
                _("a limit that keeps a program from running protects nothing"),
                _("give the service at least what it needs"),
            )
        if "work: done" not in life.printed:
            needs, machine = life.machine["neighbor"], json.dumps(life.machine)
            if life.asked["neighbor"].get("init"):
                next = _(
                    "reckon with the numbers of the `machine` that `options` is given, here {machine}; `init` is a process "
                    "more",
                    machine=machine,
                )
            else:
                next = _(
                    "reckon with the numbers of the `machine` that `options` is given, here {machine}", machine=machine
                )
            raise Mismatch(
                _(
                    "the neighbor does its work, which needs {memory} MiB and {processes} processes",
                    memory=needs["memory_mib"],
                    processes=needs["processes"],
                ),
                life.end,
                _(
                    "a neighbor has a right to work, too; what one machine's neighbor needs says nothing about another's"
                ),
                next,
            )


@check(points=3, needs=[works])
def hog_is_killed(work: Work) -> None:
    """A neighbor that takes memory without end is killed before it takes the service's."""
    for life in lives(work):
        left, memory = spare(life.machine, "memory_mib"), life.limits.get("Memory", 0)
        if life.status != KILLED:
            if memory > 0 and life.swaps:
                raise BoxlabError(
                    _("this engine does not limit swap, and the neighbor went on in it"),
                    _("`sudo swapoff -a`, or start the kernel with `swapaccount=1`"),
                )
            raise Mismatch(
                _("the neighbor is killed, exit status {status}", status=KILLED),
                life.end,
                _(
                    "nothing but a limit of its own ends a program that takes memory; whom the kernel kills when the whole "
                    "machine has none left is hard to foretell"
                ),
                _(
                    "which option says how much memory a container may have at most (a reservation is no limit), and which of "
                    "the two containers needs it?"
                ),
            )
        if not 0 < memory <= left * MIB:  # without a limit, somebody else may have killed it
            whole, service = life.machine["memory_mib"], life.machine["service"]["memory_mib"]
            raise Mismatch(
                _(
                    "at most {left} MiB for the neighbor: of {whole} MiB, the service needs {needed}",
                    left=left,
                    whole=whole,
                    needed=service,
                ),
                _("it may have {size:.0f} MiB", size=memory / MIB) if memory > 0 else _("no limit"),
                _("a limit that leaves nothing for others does not protect them"),
                _("how much is left when the service is at its busiest?"),
            )


@check(points=1, needs=[hog_is_killed])
def no_swap(work: Work) -> None:
    """It gets no swap beyond its memory."""
    for life in lives(work):
        memory = life.limits["Memory"]
        swap = life.limits.get("MemorySwap") or 2 * memory  # what an engine makes of nothing
        if swap != memory:
            raise Mismatch(
                _("memory and swap together: {size:.0f} MiB, as much as memory alone", size=memory / MIB),
                _("{size:.0f} MiB", size=swap / MIB) if swap > 0 else _("no limit"),
                _(
                    "where nothing is said, or 0, a container may swap as much again as it has memory; on a machine with swap "
                    "it is then not killed at its limit, and keeps the disk busy for all"
                ),
                _("`memswap_limit` is memory and swap together: no swap is the same value as for `mem_limit`"),
            )


@check(points=2, needs=[works])
def forks_are_refused(work: Work) -> None:
    """A neighbor that forks without end is refused before it has the service's processes."""
    for life in lives(work):
        left, most = spare(life.machine, "processes"), life.limits.get("PidsLimit", 0)
        forked = re.search(r"^forks: (\d+) (.*)$", life.printed, re.MULTILINE)
        if not forked or not forked[2] or int(forked[1]) > left or not 0 < most <= left:
            whole, service = life.machine["processes"], life.machine["service"]["processes"]
            if not forked:
                actual = life.end
            elif forked[2] and int(forked[1]) <= left:
                actual = _("its container may have {number}", number=most) if most > 0 else _("no limit")
            elif forked[2]:
                actual = _("the neighbor had {number}, {words}", number=forked[1], words=forked[2])
            else:
                actual = _("the neighbor had {number}, all that it wanted", number=forked[1])
            raise Mismatch(
                several(
                    "fork fails at {count} process at the latest: of {whole}, the service needs {needed}",
                    "fork fails at {count} processes at the latest: of {whole}, the service needs {needed}",
                    left,
                    whole=whole,
                    needed=service,
                ),
                actual,
                _(
                    "the kernel keeps one table of processes, and all containers draw on it; no limit of memory stops one "
                    "that starts small processes"
                ),
                _(
                    "`pids_limit` counts all processes of a container, the first one and that of `init` included; 0 and -1 are no "
                    "limit"
                ),
            )


@check(points=1, needs=[hog_is_killed])
def stays_down(work: Work) -> None:
    """Once killed, the neighbor stays down."""
    for life in lives(work):
        if life.came_back:
            raise Mismatch(
                _("a neighbor that was killed does not run again by itself"),
                _(
                    "the engine has started it again, by its policy {policy}",
                    policy=json.dumps(life.asked["neighbor"]["restart_policy"]),
                ),
                _("a restart hides the kill from whoever looks, and the attack begins anew, without end"),
                _("without `restart_policy` the engine leaves it as it is, and `docker inspect` says what happened"),
            )


@check(points=1, needs=[hog_is_killed, forks_are_refused])
def service_survives(work: Work) -> None:
    """Meanwhile the service is at its busiest, and answers."""
    for life in lives(work):
        if life.busy:
            needs = life.machine["service"]
            raise Mismatch(
                _(
                    "it answers with {memory} MiB and {processes} processes, as it needs them",
                    memory=needs["memory_mib"],
                    processes=needs["processes"],
                ),
                _with_options(life.busy, life.asked["service"]),
                _("a limit affects its own container alone: the service runs well with it until its busiest hour"),
                _(
                    "which of your limits is the service's? It needs none for its own protection; one that you set must not be below what it needs; "
                    "`init` is a process more"
                )
                if life.asked["service"].get("init")
                else _(
                    "which of your limits is the service's? It needs none for its own protection; one that you set must not be below what it needs"
                ),
            )


def _with_options(trouble: str, options: dict) -> str:
    """What is wrong, and by which options."""
    return _("{trouble}; its options are {options}", trouble=trouble, options=json.dumps(options))

"""Lab 04: find.py tells containers from a virtual machine, and finds the containers' programs among the host's processes."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from secrets import token_hex

from boxlab.labs import BoxlabError, Mismatch, Work, _, check

BOX = Path(__file__).with_name("box.py").read_text(encoding="utf-8")
LOOP = """
import json, sys
for line in sys.stdin:  # ends when whoever started us is gone
    print(json.dumps(answer(json.loads(line))), flush=True)
"""
IMAGE = "containers-measured/base"
ANSWER_S = 60
SECONDS = 60

NOT_ASKED_FOR = "root cwd exe environ mem map_files fd task".split()

MAY_BE_READ = re.compile(rf"uname|/(proc|sys|etc)(/(?!({'|'.join(NOT_ASKED_FOR)})(/|$))\w[\w.:-]*)*/?")
"""What may be asked for: nothing that leads out of these folders, or into what a process keeps for itself."""

BOOT_ID = "/proc/sys/kernel/random/boot_id"
OTHER_SYSTEM = 'PRETTY_NAME="Fedora Linux 41 (Forty One)"\nNAME="Fedora Linux"\nID=fedora\nVERSION_ID=41\n'

DRESSED, BESIDE = "dressed", "beside"
CONTAINERS = {DRESSED: {}, BESIDE: {"pid_mode": "host"}}
"""Options of the containers: of one that looks like another kernel, and of one that sees the host's processes."""

Look = Callable[[str], str | None]
"""What there is to read in a box at a path."""


class Disguise:
    """What the machine shows: all that a container on the host shows, as it was one look ago; its boot id alone is its own.

    Whoever is root in a machine can put another file over any of its own, and there are machines of the same build, size and
    age as this one. So nothing tells them apart but what one kernel alone can know: what it drew when it booted, and how its
    counters run on between two looks.

    Args:
        machine, twin: what there is to read in the machine, and in a container like the others that nobody is told of.
        all_below: the same for all paths below one.
    """

    def __init__(self, machine: Look, twin: Look, all_below: Callable[[str], dict[str, str | None]]):
        self._machine, self._twin, self._all_below = machine, twin, all_below
        self.freeze()

    def freeze(self) -> None:
        """Show next what the twin shows now."""
        names = [name for name in (self._twin("/proc") or "").split() if not name.isdigit() or name == "1"]
        self._shown = {path: self._twin(path) for path in ("/proc", "/proc/irq", "uname")}
        interrupts = [f"irq/{name}" for name in (self._shown["/proc/irq"] or "").split()]
        for name in [name for name in names if name != "irq"] + interrupts:  # with hundreds, too much for one answer
            self._shown |= self._all_below(f"/proc/{name}")
        self._shown |= {
            f"/proc/self/{path[8:]}": text for path, text in self._shown.items() if path.startswith("/proc/1/")
        }

    def look(self, path: str) -> str | None:
        if path == BOOT_ID:
            return self._machine(path)
        if path not in self._shown and path.startswith("/proc/"):
            return None
        now = self._twin(path)
        shown = self._shown.get(path, now)
        self._shown[path] = now  # counters run on, and show what they were when they were last looked at
        return shown


@contextlib.contextmanager
def _container(work: Work, **options) -> Iterator[Callable]:
    """A container that answers questions, and its first process on the host."""
    with work.container(IMAGE, ["python3", "-c", BOX + LOOP], **options) as box:

        def ask(**question: object) -> object:
            with _no_mistake():
                return json.loads(box.ask(json.dumps(question), ANSWER_S))

        ask.process = box.process
        yield ask


@contextlib.contextmanager
def _no_mistake() -> Iterator[None]:
    """What a box of ours fails at is no mistake of the learner's.

    Raises:
        BoxlabError: it does not answer.
    """
    try:
        yield
    except Mismatch as error:
        raise BoxlabError(
            _("a box does not answer any more: {reason}", reason=error.actual), _("check again")
        ) from error


def _look(ask: Callable, path: str) -> str | None:
    return ask(look=path)


@dataclass(frozen=True)
class Round:
    """One run of find.py.

    Attributes:
        kinds: name -> what the box of that name is: one of `CONTAINERS`, or "machine".
        processes: name -> number of its first process on the host; None for the machine.
        answers: what find.py says.
        printed: what it printed before that.
    """

    kinds: dict[str, str]
    processes: dict[str, int | None]
    answers: dict[str, dict]
    printed: str


@cache
def rounds(work: Work) -> list[Round]:
    """Let find.py look at the same three boxes three times, under new names: the machine comes first, second and last.

    So what goes by the order is wrong at least once; whoever tosses a coin for each box is right in one of 2 ** 9 checks.
    """
    with contextlib.ExitStack() as running:
        machine = running.enter_context(work.machine(BOX))
        asks = {kind: running.enter_context(_container(work, **options)) for kind, options in CONTAINERS.items()}
        host = running.enter_context(_container(work, pid_mode="host", uts_mode="host", cap_add=["SYS_PTRACE"]))
        twin = running.enter_context(_container(work))
        asks[DRESSED](dress={"/usr/lib/os-release": OTHER_SYSTEM})

        def ask_machine(**question: object) -> object:
            with _no_mistake():
                return machine.ask(question)

        disguise = Disguise(partial(_look, ask_machine), partial(_look, twin), lambda path: twin(below=path))
        looks = {kind: partial(_look, ask) for kind, ask in asks.items()} | {"machine": disguise.look}
        processes = {kind: ask.process for kind, ask in asks.items()}
        order, done = work.random.sample(list(looks), 3), []
        looks["host"] = partial(_without, partial(_look, host), str(twin.process))
        for turn in range(3):
            disguise.freeze()
            kinds = {f"box-{token_hex(3)}": kind for kind in order[turn:] + order[:turn]}
            answers, printed = _run(work, {name: looks[kind] for name, kind in kinds.items()} | {"host": looks["host"]})
            done.append(Round(kinds, {name: processes.get(kind) for name, kind in kinds.items()}, answers, printed))
        return done


def _without(look: Look, process: str, path: str) -> str | None:
    """What there is to read on the host, but for one process."""
    if f"{path}/".startswith(f"/proc/{process}/"):
        return None
    text = look(path)
    return "\n".join(name for name in text.split("\n") if name != process) if path == "/proc" and text else text


def _answer(looks: dict[str, Look], question: object) -> dict:
    """What boxes.py is told, given what there is to read in each box."""
    match question:
        case [str(box), str(path)] if box in looks and MAY_BE_READ.fullmatch(path):
            return {"text": looks[box](path.rstrip("/"))}
        case [str(box), str(path)] if box in looks:
            return {
                "error": _(
                    "{path!r} may not be asked for: a path below {proc}, {sys} or {etc}, but none through {others}, or {name!r}",
                    path=path,
                    others=", ".join(NOT_ASKED_FOR),
                    proc="/proc",
                    sys="/sys",
                    etc="/etc",
                    name="uname",
                )
            }
        case [str(box), _] if box in looks:
            return {
                "error": _(
                    "what to read is a path, such as {path!r}, or {name!r}: {call}",
                    path="/proc/uptime",
                    name="uname",
                    call="ask(box, what)",
                )
            }
        case [box, _]:
            return {
                "error": _(
                    "there is no box {box!r}: {function} wants the name of one box, or {host!r}, and what to read there",
                    box=box,
                    function="ask",
                    host="host",
                )
            }
    return {
        "error": _(
            "{function} wants the name of one box, or {host!r}, and what to read there", function="ask", host="host"
        )
    }


def _run(work: Work, looks: dict[str, Look]) -> tuple[dict[str, dict], str]:
    """What find.py answers, and what it printed before that.

    Raises:
        Mismatch: it fails, or its last line is no such answer.
        BoxlabError: a box does not answer, or what is right does not end in time either.
    """
    names = [name for name in looks if name != "host"]
    look = _("look for a loop that does not end; what {program} prints is shown above", program="find.py")
    serve = partial(_answer, looks)
    ran = work.run(["python", "find.py", *names], serve=serve, seconds=SECONDS, name="find.py", next=look)
    *said, last = [line for line in ran.output.split("\n") if line.strip()] or [
        ""
    ]  # ask begins a line for its question
    if ran.status:
        trouble = _("status {status}", status=ran.status)
        next = _("mend what the last line of the output names")
    else:
        trouble = _unlike(last, names)
        next = _(
            "keep the last line of the starter, {line}, and the two keys; a number is no text ({number} makes one of it)",
            line="print(json.dumps(answers))",
            number="int",
        )
    if trouble:
        raise Mismatch(
            _(
                "{program} ends with status 0, and its last line is {line}",
                program="find.py",
                line='{"NAME": {"shares_kernel": true, "process": 4711}, …}',
            ),
            _(
                "{trouble}; it printed:\n{output}",
                trouble=trouble,
                output="\n".join(line for line in ran.shown.split("\n") if line.strip()),
            ),
            _(
                "a program reads the answer: JSON, for each box {yes} or {no}, and a number or {null}",
                yes="true",
                no="false",
                null="null",
            ),
            next,
        )
    return json.loads(last), "\n".join(said)


def _unlike(line: str, names: list[str]) -> str:
    """What keeps a line from being an answer."""
    try:
        answers = json.loads(line)
    except (ValueError, RecursionError):  # brackets without end
        return _("the last line is no JSON")
    for name in names:
        answer = answers.get(name) if isinstance(answers, dict) else None
        if not isinstance(answer, dict):
            return _("nothing is said of {box}", box=name)
        for key, kinds in {"shares_kernel": (bool,), "process": (int, type(None))}.items():
            if key not in answer:
                return _("{key} of {box} is missing", key=key, box=name)
            if type(answer[key]) not in kinds:
                return _("{key} of {box} is {value}", key=key, box=name, value=json.dumps(answer[key]))
    return ""


@check(points=1)
def answers(work: Work) -> None:
    """find.py runs, and answers for each box."""
    rounds(work)


def _said(work: Work) -> Iterator[tuple[Round, str, str, dict]]:
    """Each answer with its round, its box's name, and what that is."""
    for round in rounds(work):
        for name, kind in round.kinds.items():
            yield round, name, kind, round.answers[name]


def _with_printed(text: str, round: Round) -> str:
    """What is wrong, and what the learner's own prints say."""
    return _("{trouble}; it printed:\n{output}", trouble=text, output=round.printed) if round.printed else text


@check(points=3, needs=[answers])
def finds_containers(work: Work) -> None:
    """It says of each container that its kernel is the host's."""
    for round, name, kind, answer in _said(work):
        if kind in CONTAINERS and not answer["shares_kernel"]:
            raise Mismatch(
                _("{box} shares the host's kernel: it is a container (another kernel by its looks)", box=name)
                if kind == DRESSED
                else _(
                    "{box} shares the host's kernel: it is a container (one that sees the host's processes)", box=name
                ),
                _with_printed(_("{program} says that it does not", program="find.py"), round),
                _("a process can be shown another release, other files, other numbers; that makes no other kernel"),
                _(
                    "ask for something that a kernel draws when it boots, and that every process on it reads alike: "
                    "`boxlab hint 04`"
                ),
            )


@check(points=3, needs=[finds_containers])
def finds_machine(work: Work) -> None:
    """It says of the virtual machine that its kernel is not the host's."""
    for round, name, kind, answer in _said(work):
        if kind == "machine" and answer["shares_kernel"]:
            raise Mismatch(
                _("{box} does not share the host's kernel: it is a virtual machine", box=name),
                _with_printed(_("{program} says that it does", program="find.py"), round),
                _(
                    "two kernels can be of the same build, with the same modules, on machines of the same name and size, "
                    "started in the same second; they are still two"
                ),
                _(
                    "compare something that no two boots have in common, or that runs on while you look; and print it: where "
                    "there is nothing to be read, `ask` returns {none} in every box",
                    none="None",
                ),
            )


@check(points=3, needs=[finds_containers, finds_machine])
def finds_processes(work: Work) -> None:
    """It names the host's process that is each container's program, and none for the machine."""
    for round, name, kind, answer in _said(work):
        if answer["process"] != round.processes[name]:
            right, said = json.dumps(round.processes[name]), json.dumps(answer["process"])
            if kind in CONTAINERS:
                expected = _("{box}, a container: process {number}", box=name, number=right)
                next = _(
                    'compare {own} of the box with {others} of "{host}", for a kind of namespace that this container does '
                    "not share with it",
                    own="/proc/self/ns/…",
                    others="/proc/NUMBER/ns/…",
                    host="host",
                )
            else:
                expected = _("{box}, a virtual machine: process {number}", box=name, number=right)
                next = _(
                    "say {null} where the kernel is another: the process that plays the machine is not the program in it",
                    null="null",
                )
            raise Mismatch(
                expected,
                _with_printed(_("process {number}", number=said), round),
                _(
                    "a container's program is a process of the host; it lives in namespaces, which the kernel numbers, and "
                    "such numbers say something only on one kernel"
                ),
                next,
            )

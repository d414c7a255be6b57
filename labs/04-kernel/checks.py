"""Lab 04: find.py tells containers from a virtual machine, and finds the containers' programs among the host's processes."""

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from boxlab.labs import Mismatch, Work, check

PROGRAM = Path(__file__).with_name("box.py").read_text()

MAY_BE_READ = re.compile(r"uname|/(proc|etc)(/(?!(root|cwd|exe|environ|mem|map_files|fd|task)(/|$))\w[\w.:-]*)*/?")
"""What may be asked for: nothing that leads out of these folders, or into what a process keeps for itself."""

OWN = re.compile(r"/proc/(self|1)/ns(/\w+)?|/proc/sys/kernel/random/\w+")
"""What the machine says of itself. All else below /proc it shows as the host had it when the boxes started: the same release, build,
boot time, command line, modules, sizes. So no text tells it, and what tells it is what a kernel draws when it boots, or whether
anything moves on with the host's."""

OTHER_SYSTEM = 'PRETTY_NAME="Fedora Linux 41 (Forty One)"\nNAME="Fedora Linux"\nID=fedora\nVERSION_ID=41\n'

CONTAINERS = {"another kernel by its looks": {}, "one that sees the host's processes": {"pid_mode": "host"}}

SECONDS = 60
"""How long find.py may take: every process of the host may be asked after."""


class Disguised:
    """The machine as it is shown: what no process of its own kernel has drawn, it has from the host, of a moment before."""

    def __init__(self, machine, host, container):
        self._ask = machine.ask
        name, shown = secrets.token_hex(6), {}
        shown |= host.ask({"everything": ["/proc"]}) | {"uname": host.ask({"look": ["uname"]})}
        shown |= container.ask({"everything": ["/proc/self"]})
        shown["/proc"] = container.ask({"look": ["/proc"]})
        theirs = shown["uname"].split()[1]
        self._shown = {path: text.replace(theirs, name) for path, text in shown.items()}

    def ask(self, question: dict) -> str | None:
        (path,) = question["look"]
        path = re.sub("^/proc/1(?=/|$)", "/proc/self", path.rstrip("/"))
        if OWN.fullmatch(path) or not path.startswith(("/proc", "uname")):
            return self._ask({"look": [path]})
        below = {known[len(path) + 1 :].partition("/")[0] for known in self._shown if known.startswith(f"{path}/")}
        return self._shown.get(path, "\n".join(sorted(below)) or None)


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
    """Let find.py look at the same three boxes three times, under new names: the machine comes first, second and last."""
    with contextlib.ExitStack() as running:
        machine = running.enter_context(work.machine(PROGRAM))
        boxes = {kind: running.enter_context(work.running(PROGRAM, **options)) for kind, options in CONTAINERS.items()}
        host = running.enter_context(
            work.running(PROGRAM, pid_mode="host", uts_mode="host", cap_add=["SYS_PTRACE"], mem_limit="256m")
        )
        container = next(iter(boxes.values()))
        processes = {kind: box.process for kind, box in boxes.items()}
        asked = boxes | {"machine": Disguised(machine, host, container), "host": host}
        container.ask({"dress": [True, {"/usr/lib/os-release": OTHER_SYSTEM}]})
        order = [*boxes, "machine"]
        work.random.shuffle(order)
        done = []
        for turn in range(3):
            kinds = {f"box-{secrets.token_hex(3)}": kind for kind in order[turn:] + order[:turn]}
            look = _answering({name: asked[kind] for name, kind in kinds.items()} | {"host": host})
            answers, printed = _run(work, list(kinds), look)
            done.append(Round(kinds, {name: processes.get(kind) for name, kind in kinds.items()}, answers, printed))
        return done


def _answering(boxes: dict) -> Callable[[object], dict]:
    """What answers boxes.py, given each box by its name."""

    def answer(question: object) -> dict:
        match question:
            case [str(box), str(path)] if box not in boxes:
                return {"error": f"there is no box {box!r}"}
            case [str(box), str(path)] if not MAY_BE_READ.fullmatch(path):
                return {"error": f"{path!r} may not be asked for: a path below /proc or /etc, or 'uname'"}
            case [str(box), str(path)]:
                return {"text": boxes[box].ask({"look": [path]})}
        return {"error": "a question is the name of a box, and a path"}

    return answer


def _run(work: Work, names: list[str], answer: Callable[[object], dict]) -> tuple[dict[str, dict], str]:
    """What find.py answers, and what it printed before that.

    Raises:
        Mismatch: it fails, or its last line is no such answer.
    """
    look = "look for a loop that does not end; what find.py prints is shown above"
    ran = work.run(
        ["python", "find.py", *names], serve=answer, seconds=SECONDS, output_kib=1024, name="find.py", next=look
    )
    *printed, last = ran.output.rstrip("\n").split("\n")
    if ran.status:
        trouble, next = f"status {ran.status}", "mend what the last line of the output names"
    else:
        trouble, next = (
            _unlike(last, names),
            "keep the last line of the starter, print(json.dumps(answers)), and the two keys",
        )
    if trouble:
        raise Mismatch(
            'find.py ends with status 0, and its last line is {"NAME": {"shares_kernel": true, "process": 4711}, …}',
            f"{trouble}; it printed:\n{ran.shown}",
            "a program reads the answer: JSON, for each box true or false, and a number or null",
            next,
        )
    return json.loads(last), "\n".join(printed)


def _unlike(line: str, names: list[str]) -> str:
    """What keeps a line from being an answer."""
    try:
        answers = json.loads(line)
    except ValueError:
        return "the last line is no JSON"
    for name in names:
        answer = answers.get(name) if isinstance(answers, dict) else None
        if not isinstance(answer, dict):
            return f"nothing is said of {name}"
        for key, kinds in {"shares_kernel": (bool,), "process": (int, type(None))}.items():
            if key not in answer or type(answer[key]) not in kinds:
                return f"{key} of {name} is {json.dumps(answer[key]) if key in answer else 'missing'}"
    return ""


@check(points=1, timeout=300)
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
    return f"{text}; it printed:\n{round.printed}" if round.printed else text


@check(points=3, needs=[answers])
def finds_containers(work: Work) -> None:
    """It says of each container that its kernel is the host's."""
    for round, name, kind, answer in _said(work):
        if kind in CONTAINERS and not answer["shares_kernel"]:
            raise Mismatch(
                f"{name} shares the host's kernel: it is a container ({kind})",
                _with_printed("find.py says that it does not", round),
                "a process can be shown another release, other files, other numbers; that makes no other kernel",
                "ask for something that a kernel draws when it boots, and that every process on it reads alike: "
                "`boxlab hint 04`",
            )


@check(points=3, needs=[finds_containers])
def finds_machine(work: Work) -> None:
    """It says of the virtual machine that its kernel is not the host's."""
    for round, name, kind, answer in _said(work):
        if kind == "machine" and answer["shares_kernel"]:
            raise Mismatch(
                f"{name} does not share the host's kernel: it is a virtual machine",
                _with_printed("find.py says that it does", round),
                "two kernels can be of the same release, on machines of the same name and size, up for equally long; "
                "they are still two",
                "compare something that no two boots have in common; and print it: where there is nothing to be read, `ask` "
                "returns None in every box",
            )


@check(points=3, needs=[finds_containers, finds_machine])
def finds_processes(work: Work) -> None:
    """It names the host's process that is each container's program, and none for the machine."""
    for round, name, kind, answer in _said(work):
        if answer["process"] != round.processes[name]:
            raise Mismatch(
                f"{name}, {'a container' if kind in CONTAINERS else 'a virtual machine'}: "
                f"process {json.dumps(round.processes[name])}",
                _with_printed(f"process {json.dumps(answer['process'])}", round),
                "a container's program is a process of the host; it lives in namespaces, which the kernel numbers, and "
                "such numbers say something only on one kernel",
                'compare /proc/self/ns/… of the box with /proc/NUMBER/ns/… of "host", for a kind of namespace that this '
                "container does not share with it"
                if kind in CONTAINERS
                else "say null where the kernel is another: the process that plays the machine is not the program in it",
            )

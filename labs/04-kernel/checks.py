"""Lab 04: find.py tells containers from a virtual machine, and finds the containers' programs among the host's processes."""

import contextlib
import json
import re
import secrets
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import SystemRandom

from boxlab import images
from boxlab.errors import Unavailable
from boxlab.interrupts import deferred
from boxlab.labs import Mismatch, Work, check
from boxlab.runtimes import Box, MicroVM, RestoredVM, Workload
from boxlab.runtimes.box import WORKLOAD_MARKS
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

PROGRAM = ["python3", "-c", Path(__file__).with_name("box.py").read_text()]
IMAGE, MEMORY_MIB = "lab-04", 128
READY_S = 60

MAY_BE_READ = re.compile(r"uname|/(proc|sys|etc)(/(?!(root|cwd|exe|environ|mem|map_files|fd|task)(/|$))\w[\w.:-]*)*/?")
"""What may be asked for: nothing that leads out of these folders, or into what a process keeps for itself."""

SAME_IN_MACHINE = ("sys/kernel/osrelease", "version", "uptime", "meminfo", "cpuinfo", "cmdline")
"""Files of /proc that read in the machine as they do on the host. Whoever is root in a box can do that."""

LONGEST = 1000  # characters of such a file: a console takes lines of 4096 bytes

OTHER_SYSTEM = 'PRETTY_NAME="Fedora Linux 41 (Forty One)"\nNAME="Fedora Linux"\nID=fedora\nVERSION_ID=41\n'

CONTAINERS = {"another kernel by its looks": {}, "one that sees the host's processes": {"pid_mode": "host"}}


class _Program:
    """Boots the book's files with the program of this lab in place of the workload."""

    def image(self, workload: Workload) -> images.Built:
        return replace(images.ensure("workload"), name=IMAGE, command=PROGRAM)


class _Restored(_Program, RestoredVM):
    pass


class _Booted(_Program, MicroVM):
    pass


def _machine() -> Box:
    """A microVM: resumed from a snapshot, which takes a moment, or where that cannot be done, booted."""
    workload = Workload(IMAGE, memory_mib=MEMORY_MIB)
    try:
        runtime = _Restored()
        runtime.prepare(workload)
    except Unavailable:
        runtime = _Booted()
        runtime.prepare(workload)
    return runtime.start(workload)


def _container(**options) -> Box:
    t0 = time.monotonic()
    with deferred():
        limits = {"network_mode": "none", "mem_limit": "64m", "cap_drop": ["ALL"], "pids_limit": 16}
        spawned = EngineContainer(images.ensure("workload").tag, PROGRAM, **limits | options)
    box = Box("container", Console(spawned, WORKLOAD_MARKS, t0), spawned, {}, "")
    try:
        box.console.wait_for("identity", READY_S)
    except BaseException:
        box.stop()
        raise
    return box


def _ask(box: Box, **question) -> str | None:
    return json.loads(box.ask(json.dumps(question)))


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
        boxes = {"machine": running.enter_context(_machine())}
        for kind, options in CONTAINERS.items():
            boxes[kind] = running.enter_context(_container(**options))
        host = running.enter_context(_container(pid_mode="host", uts_mode="host", cap_add=["SYS_PTRACE"]))
        disguised, _ = (boxes[kind] for kind in CONTAINERS)
        _ask(disguised, release=True, write={"/usr/lib/os-release": OTHER_SYSTEM})
        _ask(boxes["machine"], host_name=_ask(host, look="uname").split()[1])
        for path in (f"/proc/{name}" for name in SAME_IN_MACHINE):
            _ask(boxes["machine"], cover={path: _ask(host, look=path)[:LONGEST]})
        processes = {kind: boxes[kind].spawned.inspect()["State"]["Pid"] for kind in CONTAINERS}
        order = SystemRandom().sample(list(boxes), 3)  # before the host is one of them
        boxes["host"] = host
        look = cache(lambda kind, path: _ask(boxes[kind], look=path))
        done = []
        for turn in range(3):
            kinds = {f"box-{secrets.token_hex(3)}": kind for kind in order[turn:] + order[:turn]}
            with _answering(work.folder, look, kinds | {"host": "host"}):
                answers, printed = _run(work, list(kinds))
            done.append(Round(kinds, {name: processes.get(kind) for name, kind in kinds.items()}, answers, printed))
        return done


@contextlib.contextmanager
def _answering(folder: Path, look: Callable[[str, str], str | None], kinds: dict[str, str]) -> Iterator[None]:
    """Answer what boxes.py asks, at a socket in the learner's folder.

    Args:
        look: what there is to read, given a kind of box and a path.
        kinds: name -> kind.

    Raises:
        BoxlabError: a box does not answer any more.
    """
    trouble = []

    class Answer(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            try:
                box, path = json.loads(self.rfile.readline(4096))
            except ValueError:
                return  # not asked by boxes.py
            if box not in kinds:
                said = {"error": f"there is no box {box!r}"}
            elif not isinstance(path, str) or not MAY_BE_READ.fullmatch(path):
                said = {"error": f"{path!r} may not be asked for: a path below /proc, /sys or /etc, or 'uname'"}
            else:
                said = {"text": look(kinds[box], path)}
            self.wfile.write(json.dumps(said).encode() + b"\n")

    class Server(socketserver.UnixStreamServer):
        def handle_error(self, *_: object) -> None:
            error = sys.exception()
            if not isinstance(error, (ConnectionError, TimeoutError)):  # find.py hung up, or was silent
                trouble.append(error)

    with contextlib.chdir(folder):  # a socket's whole path may be too long
        Path("boxes.socket").unlink(missing_ok=True)
        server = Server("boxes.socket", Answer)
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            if trouble:  # find.py failed for it: no mistake of the learner's
                raise trouble[0]


def _run(work: Work, names: list[str]) -> tuple[dict[str, dict], str]:
    """What find.py answers, and what it printed before that.

    Raises:
        Mismatch: it fails, or its last line is no such answer.
    """
    look = "look for a loop that does not end; what find.py prints is shown above"
    ran = work.run(["python", "find.py", *names], seconds=20, name="find.py", next=look)
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

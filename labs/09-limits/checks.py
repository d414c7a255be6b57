"""Lab 09: two containers run with the learner's options; one works, then forks and takes memory without end."""

import contextlib
import json
import random
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import docker.errors
from docker.types import LogConfig
from docker.utils import parse_bytes

from boxlab import engine
from boxlab.errors import BoxlabError, EngineError
from boxlab.interrupts import deferred
from boxlab.labs import Mismatch, Work, check
from boxlab.labs.work import Container, require_start

MIB = 1 << 20
IMAGE = "containers-measured/base"
SERVICE, NEIGHBOUR = (Path(__file__).with_name(f"{name}.py").read_text() for name in ("service", "neighbour"))

MOST_MIB, MOST_PROCESSES = 256, 200
"""Where the neighbour stops by itself. It counts as having taken the whole machine then."""

REHEARSE = "`python3 work/09-limits/limits.py` shows what `options` says about the example"

BOUND = {"mem_limit": 384 * MIB, "pids_limit": 256}
"""The limits that hold whatever the learner says, for the sake of the machine that checks: beyond where the neighbour stops."""

SURROUNDINGS = {
    "network_mode": "none",
    "nano_cpus": 10**9,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "log_config": LogConfig(type="json-file", config={"max-size": "1m"}),
}
"""The neighbour's other options."""

ENDS_S, ANSWERS_S, RESTART_S = 20, 10, 2

KILLED = 128 + 9
"""Exit status of what ended by SIGKILL."""

SIZE = (str, int), 'a text such as "64m", or a whole number of bytes'
KINDS = {
    "mem_limit": SIZE,
    "memswap_limit": SIZE,
    "mem_reservation": SIZE,
    "pids_limit": ((int,), "a whole number: int(…) makes one of a text, and // divides into one"),
    "restart_policy": ((dict,), 'a dictionary such as {"Name": "no"}'),
    "init": ((bool,), "True or False"),
}
"""The options that may be set, of what types, and in words."""

LEAST = 6 * MIB
"""Below this an engine takes no limit of memory, and nobody means it."""

ASK = """
import json, sys
sys.tracebacklimit = 2
import limits
request = json.loads(sys.stdin.read())
answers = [limits.options(machine) for machine in request["machines"]]
print("\\n" + request["mark"] + json.dumps(answers))
"""


@cache
def machines() -> list[dict]:
    """A small one and a large one: what the small one has to spare is too little for the work of the other's neighbour."""
    drawn = []
    for spare_mib, work_mib, spare, work in (
        (range(66, 77), range(36, 45), range(16, 25), range(4, 7)),
        (range(104, 117), range(88, 97), range(50, 71), range(30, 41)),
    ):
        service = {"memory_mib": random.randint(90, 120), "processes": random.randint(12, 20)}
        neighbour = {"memory_mib": random.choice(work_mib), "processes": random.choice(work)}
        whole = {
            "memory_mib": service["memory_mib"] + random.choice(spare_mib),
            "processes": service["processes"] + random.choice(spare),
        }
        drawn.append(whole | {"service": service, "neighbour": neighbour})
    return drawn


def spare(machine: dict, what: str) -> int:
    """How much of it there is beside a busy service."""
    return machine[what] - machine["service"][what]


@cache
def said(work: Work) -> list[dict]:
    """What limits.py says to each machine.

    Raises:
        Mismatch: it fails, or this is no such answer.
    """
    mark = secrets.token_hex(8)
    request = json.dumps({"machines": machines(), "mark": mark})
    ran = work.run(["python", "-c", ASK], input=request, name="`options`", next=REHEARSE)
    _, found, data = ran.output.rpartition(mark)
    if not found or ran.status:
        raise Mismatch(
            "limits.py can be imported, and `options` returns what can be written as JSON",
            f"it ended with status {ran.status}:\n{ran.shown}",
            "no options, no containers",
            REHEARSE,
        )
    answers = json.loads(data)
    for answer in answers:
        if not isinstance(answer, dict) or set(answer) != {"service", "neighbour"}:
            raise unlike(
                '{"service": {…}, "neighbour": {…}}',
                json.dumps(answer),
                "return one dictionary with these two keys; a function without `return` gives null",
            )
        for name, options in answer.items():
            require_options(name, options)
    return answers


def unlike(expected: str, actual: str, next: str) -> Mismatch:
    return Mismatch(expected, actual, "a limit that the engine does not understand is no limit", next)


def require_options(name: str, options) -> None:
    """See that what was said about one container has the form of options.

    Raises:
        Mismatch: it has not.
    """
    if not isinstance(options, dict):
        raise unlike(f"a dictionary for the {name}", json.dumps(options), "{} says nothing about it")
    for option, value in options.items():
        said = f"{name}: {option} = {json.dumps(value)}"
        if option not in KINDS:
            names = f"of {', '.join(KINDS)}"
            raise unlike(
                names, said, "these are names of the Docker SDK for Python; `docker run` has others for the same"
            )
        types, form = KINDS[option]
        if type(value) not in types:
            raise unlike(f"{option} is {form}", f"{said}, a {type(value).__name__}", "give it that type")
        try:
            size = parse_bytes(value) if types == SIZE[0] else 0
        except docker.errors.DockerException:
            raise unlike(f"{option} is {form}", said, "units are one letter: b, k, m or g") from None
        if abs(size) >= 1 << 63:
            raise unlike(f"{option} is {form}", f"{said}, more than an engine can count", "mind the unit")
        if 0 < size < LEAST:
            raise unlike(
                f"{option} is at least {LEAST >> 20} MiB",
                f"{said}, which is {size} bytes",
                '64 is 64 bytes, and "64m" is 64 MiB',
            )
    if options.get("memswap_limit") and not options.get("mem_limit"):
        raise unlike(
            "mem_limit, where there is a memswap_limit",
            f"{name}: {json.dumps(options)}",
            "the engine refuses the one without the other: memswap_limit is memory and swap together",
        )


def bounded(options: dict) -> dict:
    """The options within `BOUND`: what is left out, without end or beyond becomes the bound itself."""
    memory, swap = (parse_bytes(options.get(name, 0)) for name in ("mem_limit", "memswap_limit"))
    most, pids = BOUND["mem_limit"], options.get("pids_limit", 0)
    within = {
        "mem_limit": memory if 0 < memory <= most else most,
        "memswap_limit": swap if 0 < memory and 0 <= swap <= most else most,
        "pids_limit": pids if 0 < pids <= BOUND["pids_limit"] else BOUND["pids_limit"],
    }
    if within["memswap_limit"] == 0:  # the engine makes it twice the memory
        within["memswap_limit"] = None if 2 * memory <= most else most
    return options | within


@contextlib.contextmanager
def refusals(asked: dict) -> Iterator[None]:
    """Make a `Mismatch` of what the engine does not accept.

    Args:
        asked: the options of both containers.

    Raises:
        EngineError: it is in the way otherwise.
    """
    try:
        with engine.plain_errors():
            yield
    except EngineError as error:
        refused = getattr(error.__cause__, "status_code", None) == 400 or "see usage" in str(error)  # Podman says 500
        if not refused or "OCI runtime" in str(error):
            raise
        require_start(**SURROUNDINGS)
        raise Mismatch(
            f"the engine accepts {json.dumps(asked)}",
            str(error.__cause__.explanation),
            "what an engine cannot keep to, or what contradicts itself, it refuses when the container is created",
            "change the option that is named; `memswap_limit` is memory and swap together, and so never below `mem_limit`",
        ) from error


@dataclass
class Life:
    """What became of a neighbour, and of the service beside it.

    Attributes:
        machine: which both were told to share.
        asked: the options of both, as limits.py says.
        limits: the engine's own account of the neighbour's.
        printed: what the neighbour said, up to its end.
        status: its exit status; none if it did not start or had not ended.
        out_of_memory: whether the engine says that something in it was killed for want of memory.
        came_back: whether the engine has started it again.
        at_ease, busy: what was wrong with an answer of the service, if anything: before, and during the attack.
    """

    machine: dict
    asked: dict
    limits: dict
    printed: str = ""
    status: int | None = None
    out_of_memory: bool = False
    came_back: bool = False
    at_ease: str = ""
    busy: str = ""

    @property
    def end(self) -> str:
        """How the neighbour ended, and what it said last."""
        last = self.printed.strip().rpartition("\n")[2] or "nothing"
        if self.status is None:
            return f"it did not start, or not end within {ENDS_S} s; its last line: {last}"
        return f"exit status {self.status}, OOMKilled {json.dumps(self.out_of_memory)}; its last line: {last}"


@cache
def lives(work: Work) -> list[Life]:
    """Let both containers run on each machine."""
    return [life(work, machine, answer) for machine, answer in zip(machines(), said(work))]


def life(work: Work, machine: dict, answer: dict) -> Life:
    """Let both containers run on one machine; the neighbour only where the service is up."""
    of_service = {
        name: value for name, value in answer["service"].items() if name != "restart_policy"
    }  # it is to survive
    needs = [str(machine["service"][what]) for what in ("memory_mib", "processes")]
    with refusals(answer), created(machine["neighbour"], answer["neighbour"]) as neighbour:
        seen = Life(machine, answer, inspect(neighbour)["HostConfig"])
        try:
            with work.container(IMAGE, ["python3", "-c", SERVICE, *needs], bounded(of_service)) as service:
                seen.at_ease = wrong_answer(service, "easy")
                if not seen.at_ease:
                    attack(neighbour, service, seen)
        except Mismatch as mismatch:
            seen.at_ease = mismatch.actual
    return seen


@contextlib.contextmanager
def created(needs: dict, asked: dict) -> Iterator[str]:
    """The id of the neighbour's container, which does not run yet, and is gone at the end of the block.

    It stays when it has ended, so that the engine can be asked about it.
    """
    api = engine.connect().api
    command = [
        "python3",
        "-c",
        NEIGHBOUR,
        *map(str, [needs["memory_mib"], needs["processes"], MOST_MIB, MOST_PROCESSES]),
    ]
    ident = ""
    try:
        with deferred():
            host_config = api.create_host_config(**SURROUNDINGS | bounded(asked))
            ident = api.create_container(IMAGE, command, labels=engine.labels(), host_config=host_config)["Id"]
        yield ident
    finally:
        if ident:
            with deferred():
                api.remove_container(ident, force=True, v=True)


def inspect(ident: str) -> dict:
    return engine.connect().api.inspect_container(ident)


def wrong_answer(service: Container, how: str) -> str:
    """What is wrong with the answer to a question drawn at random; nothing if it is right."""
    number = random.randint(1000, 9999)
    try:
        answer = service.ask(f"{how} {number}", ANSWERS_S)
    except Mismatch as mismatch:
        return mismatch.actual
    return "" if answer == str(number**2) else answer


def attack(neighbour: str, service: Container, seen: Life) -> None:
    """Start the neighbour, keep the service busy until that has ended and once more, and note what becomes of both."""
    api = engine.connect().api
    try:
        api.start(neighbour)
    except docker.errors.APIError as error:
        if "OCI runtime" not in str(error.explanation):
            raise
        require_start(**SURROUNDINGS)
        seen.printed = str(error.explanation)
        return
    deadline = time.monotonic() + ENDS_S
    ended = False
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
        seen.busy = seen.busy or wrong_answer(service, "busy")
        now = inspect(neighbour)
        seen.came_back = was_restarted(now)
        ended = seen.came_back or not now["State"]["Running"]
    if ended and not seen.came_back and seen.asked["neighbour"].get("restart_policy"):
        seen.came_back = comes_back(neighbour)
    seen.busy = seen.busy or wrong_answer(service, "busy")
    seen.printed = api.logs(neighbour).decode(errors="replace")
    if ended:
        seen.status = first_status(neighbour) if seen.came_back else now["State"]["ExitCode"]
        seen.out_of_memory = now["State"]["OOMKilled"]


def was_restarted(state: dict) -> bool:
    """Whether the engine has started a container again, or is about to."""
    return state["State"]["Restarting"] or state["RestartCount"] > 0


def comes_back(ident: str) -> bool:
    """Whether the engine starts it again within a moment: some note that they will only when they do."""
    deadline = time.monotonic() + RESTART_S
    while not (restarted := was_restarted(inspect(ident))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return restarted


def first_status(ident: str) -> int:
    """The exit status of a container's first life, from the engine's events: the container knows that of the last one."""
    ends = engine.events(ident, "die")
    if not ends:
        raise EngineError("the engine has noted no end of a container that it has started again", "check again")
    return int(ends[0]["Actor"]["Attributes"]["exitCode"])


@check(points=1, timeout=180)
def answers(work: Work) -> None:
    """limits.py says options for both containers, and the engine accepts them."""
    engine.require_limits("memory", "processes", "processors")
    lives(work)


@check(points=1, needs=[answers])
def works(work: Work) -> None:
    """Both containers start with these options, and the neighbour can do its work."""
    for life in lives(work):
        if life.at_ease:
            raise Mismatch(
                "the service starts and answers an easy question",
                f"{life.at_ease}; its options are {json.dumps(life.asked['service'])}",
                "a limit that keeps a program from running protects nothing",
                "give the service at least what it needs",
            )
        if "work: done" not in life.printed:
            needs = life.machine["neighbour"]
            raise Mismatch(
                f"the neighbour does its work, which needs {needs['memory_mib']} MiB and {needs['processes']} processes",
                life.end,
                "a neighbour has a right to work, too; what one machine's neighbour needs says nothing about another's",
                f"reckon with the numbers of the `machine` that `options` is given, here {json.dumps(life.machine)}"
                + _first_process(life.asked["neighbour"]),
            )


@check(points=3, needs=[works])
def hog_is_killed(work: Work) -> None:
    """A neighbour that takes memory without end is killed before it takes the service's."""
    for life in lives(work):
        left = spare(life.machine, "memory_mib")
        if life.status != KILLED:
            if life.asked["neighbour"].get("mem_limit") and not engine.connect().info()["SwapLimit"]:
                raise BoxlabError(
                    "this engine does not limit swap, and the neighbour went on in it",
                    "`sudo swapoff -a`, or start the kernel with `swapaccount=1`",
                )
            raise Mismatch(
                f"the neighbour is killed, exit status {KILLED}",
                life.end,
                "nothing but a limit of its own ends a program that takes memory; whom the kernel kills when the whole "
                "machine has none left is hard to foretell",
                "which option says how much memory a container may have at most (a reservation is no limit), and which of the two "
                "containers needs it?",
            )
        if life.limits["Memory"] > left * MIB:
            whole, service = life.machine["memory_mib"], life.machine["service"]["memory_mib"]
            raise Mismatch(
                f"at most {left} MiB for the neighbour: of {whole} MiB, the service needs {service}",
                f"it may have {life.limits['Memory'] / MIB:.0f} MiB",
                "a limit that leaves nothing for others does not protect them",
                "how much is left when the service is at its busiest?",
            )


@check(points=1, needs=[hog_is_killed])
def no_swap(work: Work) -> None:
    """It gets no swap beyond its memory."""
    for life in lives(work):
        memory = life.limits["Memory"]
        swap = life.limits["MemorySwap"]
        if not engine.connect().info()["SwapLimit"]:  # the engine has dropped it: what was asked for counts
            swap = parse_bytes(life.asked["neighbour"].get("memswap_limit", 0)) or 2 * memory
        if swap != memory:
            raise Mismatch(
                f"memory and swap together: {memory / MIB:.0f} MiB, as much as memory alone",
                f"{swap / MIB:.0f} MiB" if 0 < swap < BOUND["mem_limit"] else "no limit",
                "where nothing is said, or 0, a container may swap as much again as it has memory; on a machine with swap it "
                "is then not killed at its limit, and keeps the disk busy for all",
                "`memswap_limit` is memory and swap together: no swap is the same value as for `mem_limit`",
            )


@check(points=2, needs=[works])
def forks_are_refused(work: Work) -> None:
    """A neighbour that forks without end is refused before it has the service's processes."""
    for life in lives(work):
        left = spare(life.machine, "processes")
        forked = re.search(r"^forks: (\d+) (.*)$", life.printed, re.MULTILINE)
        if not forked or not forked[2] or int(forked[1]) > left:
            whole, service = life.machine["processes"], life.machine["service"]["processes"]
            raise Mismatch(
                f"fork fails at {left} processes at the latest: of {whole}, the service needs {service}",
                f"the neighbour had {forked[1]}, {forked[2] or 'all that it wanted'}" if forked else life.end,
                "the kernel keeps one table of processes, and all containers draw on it; no limit of memory stops one that "
                "starts small processes",
                "`pids_limit` counts all processes of a container, the first one included; 0 and -1 are no limit",
            )


@check(points=1, needs=[hog_is_killed])
def stays_down(work: Work) -> None:
    """Once killed, the neighbour stays down."""
    for life in lives(work):
        if life.came_back:
            raise Mismatch(
                "a neighbour that was killed does not run again by itself",
                f"the engine has started it again, by its policy {json.dumps(life.limits['RestartPolicy']['Name'])}",
                "a restart hides the kill from whoever looks, and the attack begins anew, without end",
                "without `restart_policy` the engine leaves it as it is, and `docker inspect` says what happened",
            )


@check(points=1, needs=[hog_is_killed, forks_are_refused])
def service_survives(work: Work) -> None:
    """Meanwhile the service is at its busiest, and answers."""
    for life in lives(work):
        if life.busy:
            needs = life.machine["service"]
            raise Mismatch(
                f"it answers with {needs['memory_mib']} MiB and {needs['processes']} processes, as it needs them",
                f"{life.busy}; its options are {json.dumps(life.asked['service'])}",
                "a limit strikes whom it is set on: the service runs well with it until its busiest hour",
                "which of your limits is the service's? It needs none for its own protection; and none below its need"
                + _first_process(life.asked["service"]),
            )


def _first_process(options: dict) -> str:
    return "; `init` is a process more" if options.get("init") else ""

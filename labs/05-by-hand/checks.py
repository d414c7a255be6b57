"""Lab 05: container.py makes a container. It runs as root in a container of the engine, so that it can spoil only that."""

import json
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import SystemRandom

from boxlab.errors import BoxlabError
from boxlab.labs import Mismatch, Work, check
from boxlab.labs.checks import printed
from boxlab.labs.work import Container

HERE = Path(__file__).parent
OUTSIDE, INSIDE = ((HERE / name).read_text() for name in ("outside.py", "inside.py"))
MACHINE, SYSCALLS = ((HERE / "starter" / name).read_text() for name in ("machine.py", "syscalls.py"))

MACHINE_OPTIONS = {
    "cap_drop": [],
    "cap_add": ["SYS_ADMIN"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
    "mem_limit": "512m",
    "memswap_limit": "512m",
    "pids_limit": 256,  # bounds of our own, for a container.py that sets none
}
ROOT = "/box"
MIB = 1 << 20
HOGS = 4
BOMBS = 60
SECONDS = 10
MEANINGS = {
    "did not end": "find out what it waits for: let it print where it is, or try it as the README says",
    "pivot_root: Invalid argument": "pivot_root wants the new root first and then a folder in it, and no mount of this "
    "namespace to be shared with another: make them private first, RECURSIVE, from / down",
    "pivot_root: Device or resource busy": "the new root is to be a mount, and not the root that there is; the folder for the "
    "old one is to lie in it",
    "File exists": "something of an earlier run is still there: make it where it is missing, or remove it in the end",
    "Directory not empty": "what has files of its own is no control group: VERSION_1 says where yours are to be",
    "umount .: Device or resource busy": "the old root is in use, by this process too: umount it with DETACH",
    "[Errno 1] Operation not permitted: '": "the files of a group are the kernel's and go with it: rmdir the folder alone",
    "Device or resource busy: '/sys/fs/cgroup": "a group that has a process cannot be removed: only the child may join it",
    "No such file or directory: '/sys/fs/cgroup": "there is no such group: it was not made, or is removed already (the parent "
    "waits first), or lies in the old root (join before the root changes; the parent keeps its own if only the child unshares "
    "NEW_MOUNTS)",
    "No child processes": "wait for the child once",
}
"""Part of what container.py prints when it fails -> what to do then."""

SPOILT = (
    "container.py has spoilt the machine that it runs on: change the root, mounts and names of the new namespaces alone"
)


@dataclass(frozen=True)
class Tried:
    """What came of letting container.py run each of the programs of inside.py.

    Attributes:
        name, status: those that were asked for.
        look, hog, bomb, daemon: what was seen from outside, and under "answer" what the program said; None where looking
            around did not go well.
        memory_mib, processes: the limits that were asked for.
    """

    name: str
    status: int
    memory_mib: int
    processes: int
    look: dict
    hog: dict | None = None
    bomb: dict | None = None
    daemon: dict | None = None


@cache
def tried(work: Work) -> Tried:
    random, nonce = SystemRandom(), secrets.token_hex(8)
    name, status = f"box-{secrets.token_hex(3)}", random.randrange(2, 100)
    memory_mib, processes = random.randrange(40, 64), random.randrange(9, 20)
    command = ["python3", "-c", MACHINE, "python3", "-c", OUTSIDE]
    with work.container("containers-measured/base", command, **MACHINE_OPTIONS) as machine:
        try:
            files = {"container.py": work.text("container.py"), "syscalls.py": SYSCALLS}
            setting = {"files": files, "secret": nonce}
            if (said := machine.ask(json.dumps(setting))) != "outside: ready":
                raise BoxlabError(f"the container that stands for a machine is not ready: {said}")
        except Mismatch as error:
            raise BoxlabError(f"the container that stands for a machine does not start: {error.actual}") from error

        def attempt(*arguments: str) -> dict:
            limits = [str(memory_mib * MIB), str(processes)]
            command = ["python3", "-c", INSIDE, nonce, *arguments]
            seen = _attempt(machine, [ROOT, name, *limits, *command])
            return seen | {"answer": _answer(seen["output"], nonce)}

        look = attempt("look", str(status))
        if (
            look["trouble"] or look["answer"].get("pid") != 1
        ):  # what is in no pid namespace would not end with the first
            return Tried(name, status, memory_mib, processes, look)
        hog = attempt("hog", str(HOGS), str(_share(memory_mib)))
        return Tried(name, status, memory_mib, processes, look, hog, attempt("bomb", str(BOMBS)), attempt("daemon"))


def _attempt(machine: Container, arguments: list[str]) -> dict:
    said = machine.ask(json.dumps({"arguments": arguments, "seconds": SECONDS}), SECONDS + 5, next=SPOILT)
    try:
        return json.loads(said)
    except ValueError:
        raise Mismatch(
            "the machine works as before, once container.py has ended", said, "a container keeps to itself", SPOILT
        ) from None


def _answer(output: str, nonce: str) -> dict:
    """What the program in the container says, which only it can have said; nothing where it did not come to that."""
    for line in output.splitlines():
        try:
            answer = json.loads(line)
            if answer["nonce"] == nonce:
                return answer
        except (ValueError, TypeError, KeyError):
            continue  # not its line
    return {}


def _share(memory_mib: int) -> int:
    """What each of the hogs wants, in MiB: by itself none of them needs more than the limit."""
    return memory_mib * 2 // 5


def _said(attempt: dict) -> str:
    """How a run of container.py ended, and what it printed."""
    return f"{attempt['trouble'] or 'status ' + str(attempt['status'])}; it printed:\n{printed(attempt['output'])}"


def _next(attempt: dict, otherwise: str) -> str:
    """What to do, by what container.py printed if that says it."""
    said = _said(attempt)
    return next((meaning for words, meaning in MEANINGS.items() if words in said), otherwise)


def _usual(attempt: dict) -> str:
    """What to do where no words say more."""
    if attempt["status"] in (-9, 128 + 9):
        return "137 is 128 + 9: the kernel has killed it, as it does at a limit of memory; MEMORY is in bytes"
    if attempt["status"] == 0:
        return "let the child call os.execvp, and end with the status that waitpid gives"
    return "mend what the last line says"


@check(points=1, timeout=90)
def runs(work: Work) -> None:
    """It runs the command in ROOT, and ends with the command's exit status."""
    seen = tried(work)
    if not seen.look["answer"] or seen.look["trouble"] or seen.look["status"] != seen.status:
        raise Mismatch(
            f"what the command prints as it looks around, and its exit status, {seen.status}",
            _said(seen.look),
            "who starts a container wants to see its program's output, and how that ended",
            _next(seen.look, _usual(seen.look)),
        )


@check(points=2, needs=[runs])
def own_processes(work: Work) -> None:
    """The command is process 1 of a pid namespace, and sees no processes but its own."""
    facts = tried(work).look["answer"]
    if facts["pid"] != 1 or facts["processes"] != ["1"]:
        shown = ", ".join(facts["processes"][:8]) or "none: there is no /proc"
        raise Mismatch(
            "its process id is 1, and /proc lists 1 alone",
            f"its process id is {facts['pid']}, and /proc lists {shown}",
            "a process keeps its number for life: only its children are born into the new pid namespace; and a /proc "
            "shows the namespace of whoever mounted it",
            "let the parent unshare NEW_PIDS, then fork; let the child mount a new proc on the new root's, and call execvp",
        )


@check(points=2, needs=[runs])
def own_root(work: Work) -> None:
    """ROOT is the root of its files, and nothing outside of that can be reached, by root either."""
    facts = tried(work).look["answer"]
    if facts["found"] or facts["escaped"]:
        actual = f"it reads {facts['found']}" if facts["found"] else "it left its root by a second chroot, and read it"
        raise Mismatch(
            "the command cannot read /outside/secret, a file of the machine's",
            f"{actual}; mounts that it sees: {', '.join(facts['mounts'][:12])}",
            "chroot moves where names begin to be looked up, and root can move that again; what is not in the mount "
            "namespace at all cannot be reached",
            "pivot_root in a mount namespace of its own, then umount the old root",
        )


@check(points=1, needs=[runs])
def own_name(work: Work) -> None:
    """Its host name is NAME, and the machine keeps the one that it had."""
    seen = tried(work)
    inside, before, after = seen.look["answer"]["name"], seen.look["before"]["name"], seen.look["during"]["name"]
    if (inside, after) != (seen.name, before):
        raise Mismatch(
            f"the command sees the host name {seen.name}, and the machine is still called {before}",
            f"the command sees {inside}, and the machine is called {after}",
            "a host name belongs to a namespace (uts); whoever sets it without one of its own renames the machine",
            "let the child unshare NEW_NAME, and then call socket.sethostname",
        )


@check(points=1, needs=[own_root])
def private_mounts(work: Work) -> None:
    """While it runs, the machine has the mounts that it had before."""
    look = tried(work).look
    before, during = look["before"]["mounts"], look["during"]["mounts"]
    if before != during:
        raise Mismatch(
            "the same mounts before and while it runs",
            f"new: {', '.join(_more(before, during)) or 'none'}; gone: {', '.join(_more(during, before)) or 'none'}",
            "a mount that is made in a namespace which shares with others is made for all of them",
            "unshare NEW_MOUNTS first, make all mounts in there private, and only then mount",
        )


def _more(few: list[str], many: list[str]) -> list[str]:
    """What is in `many` more often than in `few`."""
    return sorted({one for one in many if many.count(one) > few.count(one)})


@check(points=1, needs=[own_processes, own_root])
def limited_memory(work: Work) -> None:
    """All of its processes together get MEMORY bytes, and no more."""
    seen = tried(work)
    have, killed = seen.hog["answer"].get("have"), seen.hog["answer"].get("killed")
    if have not in (1, 2) or have + killed != HOGS:
        raise Mismatch(
            f"of {HOGS} processes that want {_share(seen.memory_mib)} MiB each, one or two get it under a limit of "
            f"{seen.memory_mib} MiB, and the others are killed",
            _said(seen.hog) if have is None else f"{have} got it, {killed} were killed; {_groups(seen.look)}",
            "a limit of each process (setrlimit) is none of all of them together; a control group's holds for whoever "
            "is in it, and counts what its processes take once they are in; one that only slows them down (memory.high) "
            "is no limit",
            _next(
                seen.hog,
                "write the limit, in bytes, then let the child write itself into cgroup.procs, then call execvp",
            ),
        )


def _groups(look: dict) -> str:
    """The groups that there were while the command looked around, as seen from outside."""
    groups = [f"{group} had {facts}" for group, facts in look["during"]["limits"].items()]
    return ", ".join(groups) or "there was no new group"


@check(points=1, needs=[limited_memory])
def limited_processes(work: Work) -> None:
    """At most PROCESSES of them run at once."""
    seen = tried(work)
    bomb = seen.bomb["answer"]
    fewest, most = seen.processes - 4, seen.processes - 1  # besides the first one, and what container.py may need
    if not (bomb.get("refused") and fewest <= bomb["started"] <= most):
        raise Mismatch(
            f"of {BOMBS} processes, {fewest} to {most} can be started under a limit of {seen.processes}",
            f"{bomb['started']} were started; {_groups(seen.look)}" if bomb else _said(seen.bomb),
            "a fork bomb is harmless where fork is refused; the limit for a user (setrlimit) does not bind root",
            _next(
                seen.bomb,
                "the limit is in pids.max; with version 1 its group is one more, and the child is to join both",
            ),
        )


@check(points=1, needs=[private_mounts, limited_processes])
def leaves_nothing(work: Work) -> None:
    """Once it has ended, there is nothing left: no processes, no groups, no mounts."""
    seen = tried(work)
    for attempt in (seen.look, seen.hog, seen.bomb, seen.daemon):
        left = [
            f"{kind[:-1]} {item}"
            for kind in ("processes", "groups", "mounts")
            for item in _more(attempt["before"][kind], attempt["after"][kind])
        ]
        if left or attempt["trouble"]:
            raise Mismatch(
                "as before: no process, group or mount more",
                f"left: {', '.join(left[:6])}" if left else attempt["trouble"],
                "groups and mounts are the kernel's, and stay until somebody removes them; processes end with the first "
                "one of their pid namespace",
                "when the child has ended, remove the group's folders by rmdir, which counts only processes and groups in them; the files are the kernel's",
            )

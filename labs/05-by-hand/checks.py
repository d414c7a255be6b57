"""Lab 05: container.py makes a container. It runs as root in a virtual machine of the book's own, a new one for each attempt."""

from functools import cache
from pathlib import Path
from secrets import token_hex

from boxlab.labs import BoxlabError, Mismatch, Work, check, printed

HERE = Path(__file__).parent
SYSCALLS = (HERE / "starter" / "syscalls.py").read_text(encoding="utf-8")
RIGHT = (HERE / "solution" / "container.py").read_text(encoding="utf-8")
INSIDE = (HERE / "inside.py").read_text(encoding="utf-8")

MACHINE, MEMORY_MIB = (HERE / "machine.py").read_text(encoding="utf-8"), 256
"""The machine, which `boxlab shell 05` opens as well."""

ROOT = "/mnt"
MIB = 1 << 20
PAGE = 1 << 16  # the largest that machines here have; the kernel rounds a limit of memory to whole ones
HOGS = 4
BOMBS = 100
OWN = 3
"""So many processes of its own container.py may have in the group."""

FEWEST, MOST = 12, 60
"""Of the PROCESSES that are drawn, twice: a number of one's own is let through in at most 1 of 144 checks; of memory, a whole page
in more than three hundred is drawn, and nothing but that is let through."""

PATIENCE = 3
"""One that is right must end in a third of the time, or nothing is concluded from another that does not end."""

MEANINGS = {
    "did not end": "find out what it waits for: let it print where it is, or try it as the README says",
    "pivot_root: Invalid argument": "pivot_root wants the new root first and then a folder in it, and no mount of this "
    "namespace to be shared with another: make them private first, RECURSIVE, from / down",
    "pivot_root: Device or resource busy": "the new root is to be a mount, and not the root that there is; the folder for the "
    "old one is to lie in it",
    "File exists": "something of an earlier run is still there: make it where it is missing, or remove it in the end",
    "Directory not empty": "what has files of its own is no control group: yours are to be folders below /sys/fs/cgroup",
    "umount .: Device or resource busy": "the old root is in use, by this process too: umount it with DETACH",
    "[Errno 1] Operation not permitted: '": "the files of a group are the kernel's and go with it: rmdir the folder alone",
    "Device or resource busy: '/sys/fs/cgroup": "a group that has a process cannot be removed: only the child may join it",
    "No such file or directory: '/sys/fs/cgroup": "there is no such group: it was not made, or is removed already (the parent "
    "waits first), or lies in the old root (join before the root changes; the parent keeps its own if only the child unshares "
    "NEW_MOUNTS)",
    "No child processes": "wait for the child once",
}
"""Part of what container.py prints when it fails -> what to do then."""

SPOILT = "change the root, the mounts and the names of the new namespaces alone, and kill nothing but your own"


@cache
def attempt(work: Work, play: str) -> dict:
    """What comes of letting container.py run inside.py, which plays one of its parts: what machine.py says, and `asked`.

    Raises:
        Mismatch: it does not end, floods its output, or takes away from the machine what others need.
        BoxlabError: what is right does not end in good time either.
    """
    asked = {
        "name": f"box-{token_hex(3)}",
        "memory": work.random.randrange(40 * MIB, 64 * MIB) * (2 if play == "bomb" else 1),
        "processes": work.random.randrange(FEWEST, MOST),
        "status": work.random.randrange(3, 120),
        "text": token_hex(8),
    }
    told = {
        "end": [asked["text"], asked["status"]],
        "hog": [HOGS, _share(asked)],
        "bomb": [BOMBS],
        "daemon": [],
        "kill": True,
    }
    seen, trouble = None, None
    try:
        seen = _let_run(work, work.text("container.py"), asked, {play: told[play]})
    except Mismatch as error:
        trouble = error
    if trouble or seen["trouble"]:
        _require_right(work, asked, {play: told[play]})
    if trouble:
        raise trouble
    if seen["trouble"]:
        raise Mismatch(
            "container.py ends when its command has ended",
            _said(seen),
            "a program that does not end, or floods its output, cannot be used by another",
            _next(seen, "try it as the README says"),
        )
    if not seen["facts"]:
        raise Mismatch(
            "the command is started",
            _said(seen),
            "container.py is there to run it, whatever the numbers and names that it is given",
            _next(seen, _usual(seen)),
        )
    return seen | {"asked": asked}


def _require_right(work: Work, asked: dict, play: dict) -> None:
    """See that a container.py that is right plays the same here, in good time.

    Raises:
        BoxlabError: it does not.
    """
    try:
        trouble = _let_run(work, RIGHT, asked, play, PATIENCE)["trouble"]
    except Mismatch as error:
        trouble = error.actual
    if trouble:
        raise BoxlabError(f"a container.py that is right: {trouble}", "check again when the machine is less busy")


def _let_run(work: Work, program: str, asked: dict, play: dict, part: int = 1) -> dict:
    """What machine.py says of one program, in a machine of its own: nothing that one has done is there for the next.

    Args:
        part: it may take that part of the usual time.

    Raises:
        Mismatch: the machine does not answer any more, or is not what it was.
    """
    arguments = [ROOT, asked["name"], str(asked["memory"]), str(asked["processes"]), "python3", "-c", INSIDE]
    with work.machine(MACHINE, MEMORY_MIB) as machine:
        files = {"container.py": program, "syscalls.py": SYSCALLS}
        seconds = machine.box.answer_s * 2 / 3 / part
        question = {"files": files, "arguments": arguments, "play": play, "seconds": seconds}
        seen = machine.ask({"attempt": question}, next=SPOILT)
    if why := seen.get("spoilt"):
        raise Mismatch(
            "the machine works on as before", why, "a container leaves the machine that it is on alone", SPOILT
        )
    return seen


def _share(asked: dict) -> int:
    """What each of the hogs wants, in MiB: by itself none of them needs more than the limit."""
    return asked["memory"] * 2 // 5 // MIB


def _said(seen: dict) -> str:
    """How a run of container.py ended, and what it printed."""
    return f"{seen['trouble'] or _ending(seen['status'])}; it printed:\n{printed(seen['output'])}"


def _ending(status: int) -> str:
    return f"status {status}" if status >= 0 else f"killed by signal {-status}"


def _next(seen: dict, otherwise: str) -> str:
    """What to do, by what container.py printed if that says it."""
    said = _said(seen)
    return next((meaning for words, meaning in MEANINGS.items() if words in said), otherwise)


def _usual(seen: dict) -> str:
    """What to do where no words say more."""
    if seen["status"] in (-9, 128 + 9):
        return "137 is 128 + 9: the kernel has killed it, as it does at a limit of memory; MEMORY is in bytes"
    if seen["status"] == 0:
        return "let the child call os.execvp, and end with the status that waitpid gives"
    return "mend what the last line says"


@check(points=1, timeout=600)
def runs(work: Work) -> None:
    """It runs the command, and ends with the command's exit status; where a signal n has killed it, with 128 + n."""
    seen = attempt(work, "end")
    asked = seen["asked"]
    if asked["text"] not in seen["output"] or seen["status"] != asked["status"]:
        raise Mismatch(
            f"what the command prints, {asked['text']}, and its exit status, {asked['status']}",
            _said(seen),
            "who starts a container wants to see its program's output, and how that ended",
            _next(seen, _usual(seen)),
        )
    seen = attempt(work, "kill")
    if seen["status"] not in (137, -9):  # or by the same signal itself: whoever waits is told the same
        raise Mismatch(
            "status 137 when the command is killed by signal 9",
            _said(seen),
            "a command that was killed has no exit status; shells and engines say 128 + n for signal n, and statuses below 0 "
            "or above 255 lose what they do not hold",
            "os.waitstatus_to_exitcode tells the two apart: it is negative for a signal",
        )


@check(points=2, timeout=300, needs=[runs])
def own_processes(work: Work) -> None:
    """The command is process 1 of a pid namespace, and sees no processes but its own."""
    facts = attempt(work, "end")["facts"]
    if facts["pid"] != 1 or not facts["own_pids"] or facts["processes"] != ["1"]:
        shown = (
            "there is no /proc" if facts["processes"] is None else "/proc lists " + ", ".join(facts["processes"][:8])
        )
        raise Mismatch(
            "its process id is 1, and /proc lists 1 alone",
            f"its process id is {facts['pid']}, and {shown}",
            "a process keeps its number for life: only its children are born into the new pid namespace; and a /proc "
            "shows the namespace of whoever mounted it",
            "let the parent unshare NEW_PIDS, then fork; let the child mount a new proc on the new root's, and call execvp",
        )


@check(points=2, timeout=300, needs=[runs])
def own_root(work: Work) -> None:
    """ROOT is the root of its files, and nothing outside of that can be reached, by root either."""
    facts = attempt(work, "end")["facts"]
    if not facts["in_root"]:
        raise Mismatch(
            "the command's root is ROOT",
            "it is another folder",
            "names of files are looked up from the root that a process has",
            "pivot_root to ROOT in a mount namespace of its own, then umount the old root",
        )
    if facts["reaches"]:
        raise Mismatch(
            "no mount, no working folder and no open file leads out of ROOT",
            "; ".join(facts["reaches"][:6]),
            "chroot moves where names begin to be looked up, and root can move that again; root can also take away a mount that "
            "hides another, and go on from any folder that is open. What cannot be reached is what is not in the mount "
            "namespace, and not held",
            "pivot_root in a mount namespace of its own, umount the old root with DETACH, and end with os.chdir('/')",
        )


@check(points=1, timeout=300, needs=[runs])
def own_name(work: Work) -> None:
    """Its host name is NAME, and the machine keeps the one that it had."""
    seen = attempt(work, "end")
    name, inside = seen["asked"]["name"], seen["facts"]["name"]
    before, during = seen["before"]["name"], seen["during"]["name"]
    if (inside, during) != (name, before):
        raise Mismatch(
            f"the command sees the host name {name}, and the machine is still called {before}",
            f"the command sees {inside}, and the machine is called {during}",
            "a host name belongs to a namespace (uts); whoever sets it without one of its own renames the machine",
            "let the child unshare NEW_NAME, and then call socket.sethostname",
        )


@check(points=1, timeout=300, needs=[own_root])
def private_mounts(work: Work) -> None:
    """While it runs, the machine has the mounts that it had before."""
    seen = attempt(work, "end")
    before, during = seen["before"]["mounts"], seen["during"]["mounts"]
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


@check(points=1, timeout=300, needs=[own_processes, own_root])
def limited_memory(work: Work) -> None:
    """All of its processes together get MEMORY bytes, and no more, swap included."""
    seen = attempt(work, "end")
    wanted, limits = seen["asked"]["memory"], seen["facts"]["limits"]
    least, high, swap = limits["memory.max"], limits["memory.high"], limits["memory.swap.max"]
    held = least is not None and wanted - PAGE < least <= wanted
    if not held or swap != 0 or (high is not None and high < least):
        raise Mismatch(
            f"the group of the command has memory.max {wanted} and memory.swap.max 0",
            f"{_group(seen)} has "
            + ", ".join(
                f"{name} {'max' if limit is None else limit}" for name, limit in limits.items() if "memory" in name
            ),
            "a control group's limit holds for whoever is in it, all of them together; setrlimit holds each process by itself; "
            "memory.high only slows them down; and what may be swapped out without limit is not limited",
            "write both limits, in bytes, then let the child write itself into cgroup.procs, then call execvp",
        )
    seen = attempt(work, "hog")
    have = seen["said"].get("have")
    if have not in (1, 2) and not (have is None and seen["status"] in (137, -9)):  # a group may be killed as a whole
        share = _share(seen["asked"])
        raise Mismatch(
            f"of {HOGS} processes that want {share} MiB each, one or two get it under a limit of {seen['asked']['memory']} bytes",
            f"{have} got it" if have is not None else _said(seen),
            "what a process took before it was in the group is not counted, nor is what it takes in another",
            _next(seen, "let the child write itself into cgroup.procs before it calls execvp"),
        )


def _group(seen: dict) -> str:
    group = seen["facts"]["group"]
    return "the machine's own group, /," if group == "/" else f"its group, {group},"


@check(points=1, timeout=300, needs=[limited_memory])
def limited_processes(work: Work) -> None:
    """At most PROCESSES of them run at once."""
    for play in ("end", "bomb"):
        seen = attempt(work, play)
        most, limit = seen["asked"]["processes"], seen["facts"]["limits"]["pids.max"]
        if limit is None or not most <= limit <= most + OWN:
            raise Mismatch(
                f"the group of the command has pids.max {most}",
                f"{_group(seen)} has pids.max {'max' if limit is None else limit}",
                "a fork bomb is harmless where fork is refused; the limit for a user (setrlimit) does not bind root",
                "the limit is in pids.max of the group that the child joins",
            )
    said = seen["said"]
    if not (said.get("refused") and most - 1 - OWN <= said["started"] <= most - 1):  # besides the first
        raise Mismatch(
            f"of {BOMBS} processes, {most - 1} can be started beside the first under a limit of {most}",
            f"{said['started']} were started" if said else _said(seen),
            "all that runs in the group counts, and each process more that container.py keeps in it is one less for the command",
            _next(seen, "let only the child join the group, before it calls execvp"),
        )


@check(points=1, timeout=300, needs=[private_mounts, limited_processes])
def leaves_nothing(work: Work) -> None:
    """Once it has ended, there is nothing left: no processes, no groups, no mounts."""
    for play in ("end", "kill", "hog", "bomb", "daemon"):
        seen = attempt(work, play)
        left = [
            f"{word} {item}"
            for word, kind in {"process": "processes", "group": "groups", "mount": "mounts"}.items()
            for item in _more(seen["before"][kind], seen["after"][kind])
        ]
        if left:
            raise Mismatch(
                "as before: no process, group or mount more",
                f"left: {', '.join(left[:6])}",
                "groups and mounts are the kernel's, and stay until somebody removes them; processes end with the first "
                "one of their pid namespace",
                "when the child has ended, remove the group's folder by rmdir, however the child has ended: what counts is only "
                "processes and groups in it, as its files are the kernel's",
            )

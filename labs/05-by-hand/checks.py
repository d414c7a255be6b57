"""Lab 05: container.py makes a container. It runs as root in a virtual machine of the book's own, a new one for each attempt."""

from functools import cache
from pathlib import Path
from secrets import token_hex

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, printed, several

HERE = Path(__file__).parent
SYSCALLS = (HERE / "starter" / "syscalls.py").read_text(encoding="utf-8")
RIGHT = (HERE / "solution" / "container.py").read_text(encoding="utf-8")
INSIDE = (HERE / "inside.py").read_text(encoding="utf-8")

MACHINE, MEMORY_MIB = (HERE / "machine.py").read_text(encoding="utf-8"), 256
"""The machine, which `boxlab shell 05` opens as well."""

MIB = 1 << 20
PAGE = 1 << 16  # the largest that machines here have; the kernel rounds a limit of memory to whole ones
HOGS = 4
BOMBS = 100
OWN = 3
"""So many processes of its own container.py may have in the group."""

SIGNALS = {"kill": 9, "late": 7}
"""The plays in which the command is killed, and Linux's number of the signal."""

FEWEST, MOST = 12, 60
"""Of the PROCESSES that are drawn, twice: a number of one's own is let through in at most 1 of 144 checks; of memory, a whole page
in more than three hundred is drawn, and nothing but that is let through."""

PATIENCE = 3
"""One that is right must end in a third of the time, or nothing is concluded from another that does not end."""

LATE = """
import os, time
def fork(real=os.fork):
    child = real()
    if child:
        time.sleep({seconds})
    return child
os.fork = fork
"""
"""What lets a parent go on only when its child has had the time to get everywhere, if it waits for nobody."""

MEANINGS = {
    "did not end": _("find out what it waits for: let it print where it is, or try it as the README says"),
    "pivot_root: Invalid argument": _(
        "{pivot_root} wants the new root first and then a folder in it, and no mount of this namespace to be shared with "
        "another: make them private first, {recursive}, from / down",
        pivot_root="pivot_root",
        recursive="RECURSIVE",
    ),
    "pivot_root: Device or resource busy": _(
        "the new root is to be a mount, and not the root that there is; the folder for the old one is to lie in it"
    ),
    "File exists": _(
        "it is there already (ROOT has {folders}): make only what is missing", folders="proc, sys, dev, tmp"
    ),
    "Directory not empty": _(
        "what has files of its own is no control group: yours are to be folders below {folder}", folder="/sys/fs/cgroup"
    ),
    "umount .: Device or resource busy": _(
        "the old root is in use, by this process too: {umount} it with {detach}", umount="umount", detach="DETACH"
    ),
    "[Errno 1] Operation not permitted: '": _(
        "the files of a group are the kernel's and go with it: {rmdir} the folder alone", rmdir="rmdir"
    ),
    "Device or resource busy: '/sys/fs/cgroup": _(
        "a group that has a process cannot be removed: only the child may join it"
    ),
    "Permission denied: '/sys/fs/cgroup": _(
        "a group has no file of that name, and none can be made in it; the names are in the docstring of {function}",
        function="new_group",
    ),
    "No such file or directory: '/sys/fs/cgroup": _(
        "there is no such group: it was not made, or is removed already (the parent waits first), or lies in the old root "
        "(join before the root changes; the parent keeps its own if only the child unshares {new_mounts})",
        new_mounts="NEW_MOUNTS",
    ),
    "No child processes": _("wait for the child once"),
}
"""Part of what container.py prints when it fails, or of why it was ended -> what to do then."""

SPOILT = _("change the root, the mounts and the names of the new namespaces alone, and kill only your own processes")


@cache
def attempt(work: Work, play: str) -> dict:
    """What comes of letting container.py run inside.py, which plays one of its parts: what machine.py says, and `asked`.

    Raises:
        Mismatch: it does not end, floods its output, or takes away from the machine what others need.
        BoxlabError: what is right does not end in good time either.
    """
    asked = {
        "root": f"/run/root-{token_hex(3)}",
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
        "late": [],
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
            _("{program} ends when its command has ended", program="container.py"),
            _said(seen),
            _("a program that does not end, or floods its output, cannot be used by another"),
            _next(seen, _("try it as the README says")),
        )
    if not seen["facts"]:
        raise Mismatch(
            _("the command is started"),
            _said(seen),
            _("{program} is there to run it, whatever the numbers and names that it is given", program="container.py"),
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
        raise BoxlabError(
            _("a {program} that is right: {trouble}", program="container.py", trouble=trouble),
            _("check again when the machine is less busy"),
        )


def _let_run(work: Work, program: str, asked: dict, play: dict, part: int = 1) -> dict:
    """What machine.py says of one program, in a machine of its own: nothing that one has done is there for the next.

    Args:
        part: it may take that part of the usual time.

    Raises:
        Mismatch: the machine does not answer any more, or is not what it was.
    """
    arguments = [asked["root"], asked["name"], str(asked["memory"]), str(asked["processes"]), "python3", "-c", INSIDE]
    with work.machine(MACHINE, MEMORY_MIB) as machine:
        files = {"container.py": program, "syscalls.py": SYSCALLS}
        seconds = machine.box.answer_s * 2 / 3 / part
        if "late" in play:
            files["sitecustomize.py"] = LATE.format(seconds=seconds / 20)
        question = {"files": files, "arguments": arguments, "play": play, "seconds": seconds}
        seen = machine.ask({"attempt": question}, next=SPOILT)
    if why := seen.get("spoilt"):
        raise Mismatch(
            _("the machine works on as before"), why, _("a container leaves the machine that it is on alone"), SPOILT
        )
    return seen


def _share(asked: dict) -> int:
    """What each of the hogs wants, in MiB: by itself none of them needs more than the limit."""
    return asked["memory"] * 2 // 5 // MIB


def _said(seen: dict) -> str:
    """How a run of container.py ended, and what it printed."""
    how = seen["trouble"] or _ending(seen["status"])
    return _("{trouble}; it printed:\n{output}", trouble=how, output=printed(seen["output"]))


def _ending(status: int) -> str:
    return _("status {status}", status=status) if status >= 0 else _("killed by signal {number}", number=-status)


def _next(seen: dict, otherwise: str) -> str:
    """What to do, by what container.py printed, or why it was ended, if that says it."""
    said = f"{seen['trouble']}\n{printed(seen['output'])}"
    return next((meaning for words, meaning in MEANINGS.items() if words in said), otherwise)


def _usual(seen: dict) -> str:
    """What to do where no words say more."""
    if seen["status"] in (-9, 128 + 9):
        return _(
            "137 is 128 + 9: the kernel has killed it, as it does at a limit of memory; {memory} is in bytes",
            memory="MEMORY",
        )
    if seen["status"] == 0:
        return _(
            "let the child call {execvp}, and end with the status that {waitpid} gives",
            execvp="os.execvp",
            waitpid="waitpid",
        )
    return _("mend what the last line says")


@check(points=1)
def runs(work: Work) -> None:
    """It runs the command, and ends with the command's exit status; where a signal n has killed it, with 128 + n."""
    seen = attempt(work, "end")
    asked = seen["asked"]
    if asked["text"] not in seen["output"] or seen["status"] != asked["status"]:
        raise Mismatch(
            _(
                "what the command prints, {text}, and its exit status, {status}",
                text=asked["text"],
                status=asked["status"],
            ),
            _said(seen),
            _("who starts a container wants to see its program's output, and how that ended"),
            _next(seen, _usual(seen)),
        )
    for play, number in SIGNALS.items():
        seen = attempt(work, play)
        # Or by the same signal itself: whoever waits is told the same.
        if seen["status"] not in (128 + number, -number):
            raise Mismatch(
                _("status {status} when the command is killed by signal {number}", status=128 + number, number=number),
                _said(seen),
                _(
                    "a command that was killed has no exit status; shells and engines say 128 + n for signal n, and statuses "
                    "below 0 or above 255 lose what they do not hold"
                ),
                _(
                    "{function} tells the two apart: it is negative for a signal",
                    function="os.waitstatus_to_exitcode",
                ),
            )


@check(points=2, needs=[runs])
def own_processes(work: Work) -> None:
    """The command is process 1 of a pid namespace, and sees no processes but its own."""
    facts = attempt(work, "end")["facts"]
    if facts["pid"] != 1 or not facts["own_pids"] or facts["processes"] != ["1"]:
        number, proc = facts["pid"], "/proc"
        if facts["processes"] is None:
            actual = _("its process id is {number}, and there is no {proc}", number=number, proc=proc)
        else:
            numbers = ", ".join(facts["processes"][:8])
            actual = _(
                "its process id is {number}, and {proc} lists {numbers}", number=number, proc=proc, numbers=numbers
            )
        raise Mismatch(
            _("its process id is 1, and {proc} lists 1 alone", proc=proc),
            actual,
            _(
                "a process keeps its number for life: only its children are born into the new pid namespace; and a {proc} "
                "shows the namespace of whoever mounted it",
                proc=proc,
            ),
            _(
                "let the parent unshare {new_pids}, then fork; let the child mount a new {proc} on the new root's, and call "
                "{execvp}",
                new_pids="NEW_PIDS",
                proc="proc",
                execvp="execvp",
            ),
        )


@check(points=2, needs=[runs])
def own_root(work: Work) -> None:
    """ROOT is the root of its files, and nothing outside of that can be reached, by root either."""
    facts = attempt(work, "end")["facts"]
    if not facts["in_root"]:
        raise Mismatch(
            _("the command's root is {root}", root="ROOT"),
            _("it is another folder"),
            _("names of files are looked up from the root that a process has"),
            _(
                "{pivot_root} to {root} in a mount namespace of its own, then {umount} the old root",
                pivot_root="pivot_root",
                root="ROOT",
                umount="umount",
            ),
        )
    if facts["reaches"]:
        raise Mismatch(
            _("no mount, no working folder and no open file leads out of {root}", root="ROOT"),
            "; ".join(facts["reaches"][:6]),
            _(
                "{chroot} moves where names begin to be looked up, and root can move that again; root can also take away a "
                "mount that hides another, and go on from any folder that is open. What cannot be reached is what is not in "
                "the mount namespace, and not held",
                chroot="chroot",
            ),
            _(
                "{pivot_root} in a mount namespace of its own, {umount} the old root with {detach}, and end with {chdir}",
                pivot_root="pivot_root",
                umount="umount",
                detach="DETACH",
                chdir="os.chdir('/')",
            ),
        )


@check(points=1, needs=[runs])
def own_name(work: Work) -> None:
    """Its host name is NAME, and the machine keeps the one that it had."""
    seen = attempt(work, "end")
    name, inside = seen["asked"]["name"], seen["facts"]["name"]
    before, during = seen["before"]["name"], seen["during"]["name"]
    if (inside, during) != (name, before):
        raise Mismatch(
            _(
                "the command sees the host name {name}, and the machine is still called {machine}",
                name=name,
                machine=before,
            ),
            _("the command sees {name}, and the machine is called {machine}", name=inside, machine=during),
            _(
                "a host name belongs to a namespace ({kind}); whoever sets it without one of its own renames the machine",
                kind="uts",
            ),
            _(
                "let the child unshare {new_name}, and then call {function}",
                new_name="NEW_NAME",
                function="socket.sethostname",
            ),
        )


@check(points=1, needs=[own_root])
def private_mounts(work: Work) -> None:
    """While it runs, the machine has the mounts that it had before."""
    seen = attempt(work, "end")
    before, during = seen["before"]["mounts"], seen["during"]["mounts"]
    if before != during:
        raise Mismatch(
            _("the same mounts before and while it runs"),
            _(
                "new: {new}; gone: {gone}",
                new=", ".join(_more(before, during)) or _("none"),
                gone=", ".join(_more(during, before)) or _("none"),
            ),
            _("a mount that is made in a namespace which shares with others is made for all of them"),
            _(
                "unshare {new_mounts} first, make all mounts in there private, and only then mount",
                new_mounts="NEW_MOUNTS",
            ),
        )


def _more(few: list[str], many: list[str]) -> list[str]:
    """What is in `many` more often than in `few`."""
    return sorted({one for one in many if many.count(one) > few.count(one)})


@check(points=1, needs=[own_processes, own_root])
def limited_memory(work: Work) -> None:
    """All of its processes together get MEMORY bytes, and no more, swap included."""
    write = _(
        "write both limits, in bytes, then let the child write itself into {file}, then call {execvp}",
        file="cgroup.procs",
        execvp="execvp",
    )
    wait = _(
        "the parent may be late, as it was here: let the child join by itself, or wait until the parent has put it there"
    )
    for play, next in (("end", write), ("late", wait)):
        _require_limits(attempt(work, play), next)
    seen = attempt(work, "hog")
    have, killed = (seen["said"].get(name) for name in ("have", "killed"))
    as_a_whole = have is None and seen["status"] in (137, -9)  # as a group may be killed
    one_by_one = have == 0 and killed == HOGS  # as a slow machine may, where what the last one had is not yet free
    if have not in (1, 2) and not as_a_whole and not one_by_one:
        share = _share(seen["asked"])
        raise Mismatch(
            _(
                "of {number} processes that want {share} MiB each, one or two get it under a limit of {limit} bytes",
                number=HOGS,
                share=share,
                limit=seen["asked"]["memory"],
            ),
            _("{number} got it", number=have) if have is not None else _said(seen),
            _("what a process took before it was in the group is not counted, nor is what it takes in another"),
            _next(
                seen,
                _(
                    "let the child write itself into {file} before it calls {execvp}",
                    file="cgroup.procs",
                    execvp="execvp",
                ),
            ),
        )


def _require_limits(seen: dict, next: str) -> None:
    """See that the group of the command has its limits of memory when it is there.

    Raises:
        Mismatch: it has not.
    """
    wanted, limits = seen["asked"]["memory"], seen["facts"]["limits"]
    least, high, swap = limits["memory.max"], limits["memory.high"], limits["memory.swap.max"]
    held = least is not None and wanted - PAGE < least <= wanted
    if not held or swap != 0 or (high is not None and high < least):
        raise Mismatch(
            _(
                "the group of the command has {memory} {wanted} and {swap} 0",
                memory="memory.max",
                wanted=wanted,
                swap="memory.swap.max",
            ),
            _group_has(
                seen,
                ", ".join(
                    f"{name} {'max' if limit is None else limit}" for name, limit in limits.items() if "memory" in name
                ),
            ),
            _(
                "a control group's limit holds for whoever is in it, all of them together; {setrlimit} holds each process by "
                "itself; {high} only slows them down; and what may be swapped out without limit is not limited",
                setrlimit="setrlimit",
                high="memory.high",
            ),
            next,
        )


def _group_has(seen: dict, limits: str) -> str:
    group = seen["facts"]["group"]
    if group == "/":
        return _("the machine's own group, /, has {limits}", limits=limits)
    return _("its group, {group}, has {limits}", group=group, limits=limits)


@check(points=1, needs=[limited_memory])
def limited_processes(work: Work) -> None:
    """At most PROCESSES of them run at once."""
    for play in ("end", "bomb"):
        seen = attempt(work, play)
        most, limit = seen["asked"]["processes"], seen["facts"]["limits"]["pids.max"]
        if limit is None or not most <= limit <= most + OWN:
            raise Mismatch(
                _("the group of the command has {file} {limit}", file="pids.max", limit=most),
                _group_has(seen, f"pids.max {'max' if limit is None else limit}"),
                _(
                    "a fork bomb is harmless where fork is refused; the limit for a user ({setrlimit}) does not bind root",
                    setrlimit="setrlimit",
                ),
                _("the limit is in {file} of the group that the child joins", file="pids.max"),
            )
    said = seen["said"]
    if not (said.get("refused") and most - 1 - OWN <= said["started"] <= most - 1):  # besides the first
        raise Mismatch(
            _(
                "of {number} processes, {others} can be started beside the first under a limit of {limit}",
                number=BOMBS,
                others=most - 1,
                limit=most,
            ),
            several("{count} were started", "{count} were started", said["started"]) if said else _said(seen),
            _(
                "all that runs in the group counts, and each process more that {program} keeps in it is one less for the "
                "command",
                program="container.py",
            ),
            _next(seen, _("let only the child join the group, before it calls {execvp}", execvp="execvp")),
        )


@check(points=1, needs=[private_mounts, limited_processes])
def leaves_nothing(work: Work) -> None:
    """Once it has ended, there is nothing left: no processes, no groups, no mounts."""
    for play in ("end", "kill", "hog", "bomb", "daemon"):
        seen = attempt(work, play)
        process, group, mount = (
            _more(seen["before"][kind], seen["after"][kind]) for kind in ("processes", "groups", "mounts")
        )
        left = [_("process {number}", number=number) for number in process]
        left += [_("group {folder}", folder=folder) for folder in group]
        left += [_("mount {folder}", folder=folder) for folder in mount]
        if left:
            raise Mismatch(
                _("as before: no process, group or mount more"),
                _("left: {things}", things=", ".join(left[:6])),
                _(
                    "groups and mounts are the kernel's, and stay until somebody removes them; processes end with the first "
                    "one of their pid namespace"
                ),
                _(
                    "when the child has ended, remove the group's folder by {rmdir}, however the child has ended: what counts "
                    "is only processes and groups in it, as its files are the kernel's",
                    rmdir="rmdir",
                ),
            )

"""First program of lab 05's machine: makes it ready, lets container.py run in it, and says what the kernel then knows.

Nothing that a program prints is believed. Who it is that calls itself the command in the container, the kernel says with each
of its messages (SCM_CREDENTIALS, man 7 unix); root, mounts, name, groups and limits are looked up for that process.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

HOME, ROOT = Path("/home"), Path("/mnt")
"""Where the learner's files are, and where a file system is mounted that is to be the root of a container."""

CGROUPS = Path("/sys/fs/cgroup")
COMMANDS = "bash cat chroot echo env false grep head hostname id ls mkdir mount ps rm rmdir sh sleep touch true umount uname".split()
LEFT_OUT = "__phello__ config-* ensurepip idlelib lib2to3 pydoc_data site-packages dist-packages test tkinter turtledemo unittest".split()
"""What the container's root has of this system's commands, and what not of Python's library."""

SHARED = ("sysfs", "devtmpfs", "devpts", "mqueue", "cgroup2")
"""Kinds of file system of which the kernel has but one: who mounts one anew has the machine's, and none of its files."""

NEW_MOUNTS, NEW_NAME, RECURSIVE, PRIVATE, DETACH = (
    0x20000,
    0x4000000,
    1 << 14,
    1 << 18,
    2,
)  # linux/sched.h, linux/mount.h
LAYERS = 16
LOOK_S = 1.0
MOST_BYTES = 1 << 14
SIGNALS_CREDENTIALS = 2  # SCM_CREDENTIALS, linux/socket.h

libc = ctypes.CDLL(None, use_errno=True)
proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)


def call(name: str, *arguments: object) -> None:
    """A call of the C library that Python lacks."""
    if getattr(libc, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


# The machine


def prepare() -> None:
    """Make the mounts, the groups and the name that the machine has. The snapshot is taken after that."""
    run("mount", "-o", "remount,ro", "/")  # as it is where it was resumed
    for folder in (HOME, ROOT, "/run", "/tmp"):
        run("mount", "-t", "tmpfs", "machine", folder)
    run("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
    (CGROUPS / "cgroup.subtree_control").write_text("+memory +pids")
    os.mkdir("/dev/pts")
    run("mount", "-t", "devpts", "devpts", "/dev/pts")
    run("mount", "--make-rshared", "/")  # what is mounted in one namespace is seen in others, as on most machines
    socket.sethostname("machine")
    fill(ROOT)


def run(*command: object) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def fill(root: Path) -> None:
    """Copy a small system to `root`: a shell, some commands, and Python with its library."""
    for name in "dev etc proc root run sys tmp usr/bin usr/lib usr/lib64 usr/sbin".split():
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    python, library = os.path.realpath(sys.executable), sysconfig.get_path("stdlib")
    shutil.copytree(library, f"{root}{library}", ignore=shutil.ignore_patterns(*LEFT_OUT))
    files = [python, *filter(None, map(shutil.which, COMMANDS))]
    needed = run("ldd", *files, *Path(library, "lib-dynload").glob("*.so"))
    libraries = {word for word in needed.split() if word.startswith("/") and not word.endswith(":")}
    for file in {*files, *libraries, "/etc/ld.so.cache"}:
        os.makedirs(root / os.path.dirname(file)[1:], exist_ok=True)
        shutil.copy(file, f"{root}{file}")
    if not (root / "usr/bin/python3").exists():
        (root / "usr/bin/python3").symlink_to(python)
    for name, minor in {"null": 3, "zero": 5, "urandom": 9}.items():
        os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))


def stay() -> int:
    """Leave the machine's mounts to a process that does nothing else, and have a namespace of our own to look from.

    Whatever container.py does to the mounts and the root of the machine, /proc and the groups are still where we look.
    """
    holder = os.fork()
    if not holder:
        while True:
            signal.pause()
    call("unshare", NEW_MOUNTS)
    call("mount", None, b"/", None, ctypes.c_ulong(RECURSIVE | PRIVATE), None)
    return holder


def enter(*command: str) -> list[str]:
    """A command that runs where the machine's mounts are, in the learner's folder."""
    return ["nsenter", f"--target={holder}", "--mount", f"--wd={HOME}", *command]


def state() -> dict:
    """What this machine has: its name, its mounts, its groups, its processes."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # orphans come to us, as we are the first process
            pass
    return {
        "name": socket.gethostname(),
        "mounts": sorted(mount["at"] for mount in mounts(holder)),
        "groups": sorted(folder for folder, _, _ in os.walk(CGROUPS)),
        "processes": sorted(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if has_words(path)),
    }


def has_words(cmdline: Path) -> bool:
    """Whether it is the command line of a process that lives: the kernel's own have none, nor does what has ended."""
    with contextlib.suppress(OSError):
        return bool(cmdline.read_bytes())
    return False


def mounts(pid: int | str = "self") -> list[dict]:
    """The mounts that a process can see; also where /proc is another than ours."""
    with open(os.open(f"{pid}/mountinfo", os.O_RDONLY, dir_fd=proc)) as file:
        lines = [line.split() for line in file]
    return [
        {"id": int(words[0]), "device": words[2], "at": words[4], "kind": words[words.index("-") + 1]}
        for words in lines
    ]


def ends(pid: int) -> bool:
    """Whether a process that is still there is on its way out: it runs, or has been killed. One that sleeps stays."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        facts = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.strip()}
        killed = 1 << signal.SIGKILL - 1
        return facts["State"] != "S" or any(int(facts[name], 16) & killed for name in ("SigPnd", "ShdPnd"))
    return True


# A process in it


def look(pid: int, root: str) -> dict:
    """What the kernel knows of a process that was to have what is mounted at `root`, which is still at ROOT where we look from."""
    [numbers] = [line.split()[1:] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "NSpid" in line]
    there = inside(pid)
    return {
        "pid": int(numbers[-1]),
        "own_pids": len(numbers) > 1,
        "processes": listed(pid),
        "name": there["name"],
        "in_root": os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat(ROOT)),
        "reaches": reaches(pid, root, there["seen"], there["hidden"]),
        "group": (group := Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("::")[2]),
        "limits": {name: least(group, name) for name in ("memory.max", "memory.high", "memory.swap.max", "pids.max")},
    }


def listed(pid: int) -> list[str] | None:
    """The processes that /proc shows there; None where there is no /proc."""
    try:
        names = os.listdir(f"/proc/{pid}/root/proc")
    except OSError:
        return None
    return sorted((name for name in names if name.isdigit()), key=int) if "self" in names else None


def inside(pid: int) -> dict:
    """The host name of a process, and all mounts in its namespace, whatever root it has: those seen, and those hidden below.

    A process of ours goes there, and in a copy of that namespace takes away one root after another, down to the kernel's first.
    """
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            for kind, number in (("uts", NEW_NAME), ("mnt", NEW_MOUNTS)):
                call("setns", os.open(f"{pid}/ns/{kind}", os.O_RDONLY, dir_fd=proc), number)
            found = {"name": socket.gethostname(), "seen": mounts(), "hidden": []}
            call("unshare", NEW_MOUNTS)
            copy = os.open("self/ns/mnt", os.O_RDONLY, dir_fd=proc)
            for _ in range(LAYERS):
                call("mount", None, b"/", None, ctypes.c_ulong(RECURSIVE | PRIVATE), None)
                call("umount2", b"/", DETACH)
                call("setns", copy, NEW_MOUNTS)
                if not (below := mounts()) or all(mount["kind"] == "rootfs" for mount in below):
                    break
                found["hidden"] += below
            os.write(writes, json.dumps(found).encode())
        except OSError as error:
            os.write(writes, json.dumps(f"in its namespaces: {error}").encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads) as file:
        found = json.load(file)
    os.waitpid(child, 0)
    if isinstance(found, str):
        raise OSError(found)
    return found


def reaches(pid: int, root: str, seen: list[dict], hidden: list[dict]) -> list[str]:
    """Ways by which a process reaches files of the machine's that are not below `root`."""
    machine = {mount["device"] for mount in mounts(holder) if mount["kind"] not in SHARED and mount["at"] != root}
    others = [
        mount for mount in seen if (mount["kind"], mount["at"]) != ("proc", "/proc")
    ]  # whose that is, is another check
    ways = [f"the mount {mount['at']}" for mount in others if mount["device"] in machine]
    ways += [f"what was mounted on {mount['at']} before" for mount in hidden if mount["device"] in machine]
    known = {mount["id"] for mount in seen}
    kinds = [
        kind for kind in os.listdir(f"/proc/{pid}/ns") if "_for_" not in kind
    ]  # what its children will live in may not be yet
    own = {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds}
    opened = {f"its open file {name}": f"fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")}
    for way, name in ({"its working folder": "cwd"} | opened).items():
        path = f"/proc/{pid}/{name}"
        link, kind = os.readlink(path), stat.S_IFMT(os.stat(path).st_mode)
        holds = kind == stat.S_IFDIR or (kind in (stat.S_IFREG, stat.S_IFBLK) and name not in ("fd/0", "fd/1", "fd/2"))
        if link == "anon_inode:[pidfd]" or (holds and link not in own and mount_of(path) not in known):
            ways.append(f"{way}, {link}")
    return ways


def mount_of(path: str) -> int:
    """The mount on which lies what a link in /proc leads to."""
    file = os.open(path, os.O_PATH)
    try:
        return int(Path(f"/proc/self/fdinfo/{file}").read_text().partition("mnt_id:")[2].split()[0])
    finally:
        os.close(file)


def least(group: str, name: str) -> int | None:
    """The least of a limit in a group and those above it; None where there is none."""
    found = []
    for folder in [CGROUPS / group.lstrip("/"), *(CGROUPS / group.lstrip("/")).parents]:
        if folder.is_relative_to(CGROUPS) and (folder / name).exists():
            found.append((folder / name).read_text().strip())
    return min((int(text) for text in found if text != "max"), default=None)


# What is asked


def attempt(files: dict[str, str], arguments: list[str], play: dict, seconds: float) -> dict:
    """Let container.py run inside.py, and say what was to be seen before, during and after.

    Args:
        files: the learner's, by name.
        arguments: container.py's; the first is a folder that is not there yet, where ROOT is mounted instead.
        play: what inside.py is told to do, once it has said that it is there; "kill": it is killed then.
        seconds: how long it may take to end.

    Returns:
        `status` (negative for a signal), `output`, `trouble` (why we stopped waiting, or nothing), `before`, `during`, `after`
        (None where inside.py was not heard of), `facts` (what the kernel knows of it), `said` (what it says in the end).
    """
    install(files)
    root = arguments[0]
    run(*enter("sh", "-ec", 'mkdir "$1"; mount --bind "$0" "$1"; umount "$0"', ROOT, root))
    before = state()
    seen = {"trouble": "", "before": before, "during": None, "facts": {}, "said": {}}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    process = subprocess.Popen(
        enter("env", f"PYTHONPATH={HOME}", "python3", "container.py", *arguments),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    theirs.close()
    output, left = b"", seconds
    ended, printing, talking = os.pidfd_open(process.pid), process.stdout.fileno(), ours.fileno()
    awaited = {ended, printing, talking}
    while ended in awaited:
        looked = time.monotonic()
        ready, _, _ = select.select(awaited, [], [], min(LOOK_S, max(0.0, left)))
        left -= min(LOOK_S, time.monotonic() - looked)  # no more counts: the machine may have been stopped meanwhile
        if not ready and left > 0:
            continue
        if not ready or len(output) > MOST_BYTES:
            seen["trouble"] = (
                f"it printed more than {MOST_BYTES >> 10} KiB" if ready else f"it did not end within {seconds:g} s"
            )
            break
        if talking in ready:
            message, ancillary, _, _ = ours.recvmsg(1 << 12, socket.CMSG_SPACE(12))
            if not message:
                awaited.discard(talking)
            elif not seen["facts"]:
                [pid] = [struct.unpack("3i", data)[0] for _, kind, data in ancillary if kind == SIGNALS_CREDENTIALS]
                seen |= {"during": state(), "facts": look(pid, root)}
                if play.get("kill"):
                    os.kill(pid, signal.SIGKILL)
                else:
                    ours.send(json.dumps(play).encode())
            else:
                seen["said"] = json.loads(message)
        elif printing in ready:  # what it has said comes first, and its end last
            chunk = os.read(printing, 1 << 12)
            output += chunk
            if not chunk:
                awaited.discard(printing)
        else:
            awaited.discard(ended)
    status = None if seen["trouble"] else process.wait()
    looked = time.monotonic()
    while any(map(ends, set((after := state())["processes"]) - set(before["processes"]))) and left > 0:
        time.sleep(0.02)
        left, looked = left - min(LOOK_S, time.monotonic() - looked), time.monotonic()
    return seen | {"status": status, "output": output.decode(errors="replace"), "after": after}


def install(files: dict[str, str]) -> None:
    for name, text in files.items():
        (Path(f"/proc/{holder}/root{HOME}") / name).write_text(text)


def shell(files: dict[str, str], rows: int, columns: int, term: str) -> None:
    """A shell on the machine's own terminal, until it ends; before and after it the byte by which that is known."""
    import fcntl
    import termios

    install(files)
    device = "/dev/" + Path("/sys/class/tty/console/active").read_text().split()[-1]
    print(end="\x1e", flush=True)
    child = os.fork()
    if not child:
        os.setsid()
        terminal = os.open(device, os.O_RDWR)  # the first one that is opened in a session is its own
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        for number in (0, 1, 2):
            os.dup2(terminal, number)
        os.environ |= {"TERM": term, "HOME": str(HOME), "PS1": "machine# "}
        os.execvp("nsenter", enter("bash", "--norc", "-i"))
    os.waitpid(child, 0)
    print(end="\x1e", flush=True)


def answer(question: dict) -> object:
    """{"attempt": …} or {"shell": …}, with the arguments of that function; {"spoilt": why} where the machine is not what it was."""
    [(name, arguments)] = question.items()
    try:
        return {"attempt": attempt, "shell": shell}[name](**arguments)
    except OSError as error:
        return {"spoilt": str(error)}


prepare()
holder = stay()

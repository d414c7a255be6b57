"""Names, and ports, that the commands of a notebook will give away: free before its first cell, and gone after its last.

A command that a reader pastes carries no label of ours. So a notebook declares beforehand what its commands will create, in
a ledger file of its run: what has such a name from then on is the run's.
"""

import ast
import contextlib
import fcntl
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from boxlab import disk, engine, leftover, marks, paths, progress, turns
from boxlab.errors import BoxlabError, EngineError
from boxlab.images import short_hash, short_name
from boxlab.language import _
from boxlab.leftover import KINDS, Leftover

PROJECT_LABEL = "com.docker.compose.project"

WAYS_ON = {
    "container": _("`docker rm --force {name}`; or keep it: `docker rename {name} {name}-kept`"),
    "image": _("`docker rmi {name}`; or keep it: `docker tag {name} {name}-kept` first"),
    "volume": _("`docker volume rm {name}`, if nothing in it is needed"),
    "network": "`docker network rm {name}`",
    "project": "`docker compose --project-name {name} down`",
    "port": _("`docker stop {name}`, or {another}"),
}
"""How to free a name or port that is taken, by kind."""

PORT_VARIABLE = "BOXLAB_PORT_"
"""How a variable begins that names another port than the one whose number it ends with: BOXLAB_PORT_5050=5060."""


@dataclass(frozen=True)
class _Thing:
    """Something on the engine that has a name.

    Attributes:
        id: what tells it from a later one of the same name.
        created: seconds since 1970, by the engine's clock.
        project: the Compose project that it belongs to, if it does.
        ports: of this machine, at which it is published.
    """

    kind: str
    name: str
    id: str
    created: float
    project: str
    owner: str
    about: str
    remove: Callable[[], None] = field(compare=False, repr=False)
    ports: tuple[int, ...] = ()

    def has(self, kind: str, name: str) -> bool:
        """Whether it stands in the way of who wants a name, or a port."""
        if kind == "port":
            return int(name) in self.ports
        return name == (self.project if kind == "project" else self.name if kind == self.kind else "")


@dataclass
class _Ledger:
    """What one run has declared, and what was seen of it.

    Attributes:
        engine: the engine on which the names are declared.
        ahead: by how many seconds the engine's clock is ahead of ours.
        since: when they were declared; by the engine's clock, as `until` is.
        until: when the run was last seen to do nothing; None while it works, or is not watched.
        names: the names, by kind.
        ids: ids of what was created under a name, by kind and name.
        before: ids of the images that were there before.
    """

    run: str
    owner: str
    process: int
    started: float
    engine: str
    ahead: float
    since: float
    until: float | None = None
    names: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return paths.NAMES / f"{self.run}.json"

    def save(self) -> None:
        disk.write(self.path, json.dumps(asdict(self), indent=1))

    def lives(self) -> bool:
        """Whether the process that declared the names still runs."""
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) < 2  # the clock may have been set
        except psutil.NoSuchProcess:
            return False

    def declared(self, thing: _Thing) -> str:
        """The kind and name by which a thing is declared; nothing where it is not."""
        if thing.name in self.names.get(thing.kind, ()):
            return f"{thing.kind} {thing.name}"
        if thing.project in self.names.get("project", ()):
            return f"project {thing.project}"
        return ""

    def made(self, thing: _Thing) -> bool:
        """Whether the run made a thing: a reader may have made a later one of that name, once the run had ended."""
        if thing.kind == "image" and not thing.name:
            return thing.id in self._seen_images() and thing.id not in self.before
        if not (key := self.declared(thing)):
            return False
        # Compose makes a project's containers anew: those of a run that was killed while it worked have no id yet.
        if not self.lives() and key in self.ids and (self.until is not None or not key.startswith("project ")):
            return thing.id in self.ids[key]
        before = thing.created < int(self.since) and thing.kind != "image"  # an image may come from a cache
        after = not self.lives() and thing.created > (self._last_beat() if self.until is None else self.until)
        return not (before or after)

    def _last_beat(self) -> float:
        """When a run that worked until its end was last seen to live, and a little later; by the engine's clock."""
        try:
            return self.path.stat().st_mtime + self.ahead + 2 * BEAT_S
        except FileNotFoundError:  # it was released meanwhile
            return 0

    def _seen_images(self) -> set[str]:
        return {id for key, ids in self.ids.items() if key.startswith(("image ", "project ")) for id in ids}

    def see(self, things: Iterable[_Thing]) -> None:
        """Note the ids of what there is."""
        for thing in things:
            if thing.name and self.made(thing):
                seen = self.ids.setdefault(self.declared(thing), [])
                seen += [thing.id] if thing.id not in seen else []


BEAT_S = 1.0
"""How often a run's ledger is touched while it lives, so that a later one knows when it was killed."""

_beats: dict[Path, threading.Event] = {}
"""What ends the touching of a ledger."""

_held: dict[str, int] = {}
"""Descriptors that hold this process's names, by kind and name, against others who would declare them."""


def declare(
    *,
    containers: Iterable[str] = (),
    images: Iterable[str] = (),
    volumes: Iterable[str] = (),
    networks: Iterable[str] = (),
    projects: Iterable[str] = (),
    ports: Iterable[int] = (),
) -> None:
    """Declare the names that this run's commands will give; again does no harm.

    Args:
        projects: names of Compose projects: all that carries one's label is meant.
        ports: TCP ports of this machine at which containers will be published, or the reader's in their place (`port`).

    Raises:
        BoxlabError: somebody holds one of them: who, and how to go on.
        EngineError: the engine does not answer.
    """
    wanted = {
        "container": containers,
        "image": map(_full, map(with_ports, images)),
        "volume": volumes,
        "network": networks,
    }
    with engine.plain_errors():
        info = engine.connect().info()
    here = _engine(info)
    ledgers = {ledger.run: ledger for ledger in _ledgers(here)}
    ledger = ledgers.get(marks.RUN) or _new(here, info)
    new = [
        (kind, name)
        for kind, names in (wanted | {"project": projects, "port": [str(port(number)) for number in ports]}).items()
        for name in names
        if name not in ledger.names.get(kind, ())
    ]
    taken: dict[str, int] = {}
    try:
        held = []
        for kind, name in new:
            try:
                taken[f"{kind} {name}"] = turns.take(_turn(here, kind, name))
            except turns.Held as other:
                held.append(
                    (
                        _("the {kind} {name} is declared by {who}", kind=KINDS[kind], name=name, who=other),
                        _("wait until that has ended, end it, or {another}", another=_another_port(name))
                        if kind == "port"
                        else _("wait until that has ended, or end it"),
                    )
                )
        with engine.plain_errors():
            things = list(_things())
        held += [holder for kind, name in new for holder in _holders(kind, name, things, ledgers.values())]
        if held:
            taken_by = "; ".join(what for what, _fix in held)
            _stop_cells(taken_by)
            raise BoxlabError(taken_by, "; ".join(dict.fromkeys(fix for _what, fix in held)))
        with _alone():
            ledger = next(_ledgers(here, marks.RUN), ledger)
            for kind, name in new:
                ledger.names.setdefault(kind, []).append(name)
            ledger.before = ledger.before or sorted({thing.id for thing in things if thing.kind == "image"})
            ledger.save()
    except BaseException:
        for key, handle in taken.items():
            turns.give(_turn(here, *key.split(" ", 1)), handle)
        raise
    _held.update(taken)
    _let_cells_run()
    _watch()
    if ledger.path not in _beats:
        _beats[ledger.path] = threading.Event()
        threading.Thread(target=_beat, args=[ledger.path, _beats[ledger.path]], daemon=True).start()


def port(number: int) -> int:
    """The port to take where a notebook says `number`: another one, where the reader's environment names it.

    Raises:
        BoxlabError: what it names is no port.
    """
    given = os.environ.get(f"{PORT_VARIABLE}{number}") or str(number)
    if not (given.isdecimal() and 0 < int(given) < 1 << 16):
        raise BoxlabError(
            _("{variable} is {given!r}, which is no port", variable=f"{PORT_VARIABLE}{number}", given=given),
            _("name one between 1 and 65535, such as {port}", port=_other(number)),
        )
    return int(given)


def with_ports(text: str) -> str:
    """The text of a cell, with the reader's ports in place of those that stand there.

    Raises:
        BoxlabError: as for `port`.
    """
    numbers = [name.removeprefix(PORT_VARIABLE) for name in os.environ if name.startswith(PORT_VARIABLE)]
    if not (numbers := [number for number in numbers if number.isdecimal()]):
        return text
    return re.sub(rf"\b({'|'.join(numbers)})\b", lambda found: str(port(int(found[0]))), text)


def release() -> None:
    """Remove what this run made under the names that it has declared, and give them back.

    Raises:
        BoxlabError: something could not be removed; its name stays declared.
        EngineError: the engine does not answer.
    """
    if not _files(marks.RUN):
        return
    leftover.remove(lambda: made(marks.RUN))
    with engine.plain_errors():
        here = _engine(engine.connect().info())
    for ledger in _ledgers(here, marks.RUN):
        if ended := _beats.pop(ledger.path, None):
            ended.set()
        with _alone():
            ledger.path.unlink()
    for key, handle in _held.items():
        turns.give(_turn(here, *key.split(" ", 1)), handle)
    _held.clear()


def made(run: str = "") -> list[Leftover]:
    """What runs of this checkout, or one of them, have made under names that they have declared.

    Raises:
        EngineError: the engine does not answer.
    """
    if not _files(run):
        return []
    with engine.plain_errors():
        ledgers, things = list(_ledgers(_engine(engine.connect().info()), run)), list(_things())
    for ledger in ledgers:
        if ledger.lives():
            ledger.see(things)
            with _alone():  # its run may have released it meanwhile, or have declared more
                for current in _ledgers(run=ledger.run):
                    current.see(things)
                    current.save()
    return [
        Leftover(thing.kind, thing.name or thing.id, thing.remove)
        for thing in things
        if any(ledger.made(thing) for ledger in ledgers)
    ]


def runs() -> set[str]:
    """The runs that have declared names."""
    return {path.stem for path in _files()}


def remove_dead(but: Collection[str]) -> None:
    """Remove what runs that have ended made under the names that they had declared, and forget them; not so the runs in `but`.

    Raises:
        BoxlabError: something could not be removed; its name stays declared.
        EngineError: the engine does not answer.
    """
    for run in runs() - set(but):
        if not any(ledger.lives() for ledger in _ledgers(run=run)):
            leftover.remove(partial(made, run))
            forget_dead(run)


def forget_dead(run: str = "") -> None:
    """Forget what runs that have ended, or one of them, have declared on this engine; their turns are free on any.

    Raises:
        EngineError: the engine does not answer.
    """
    turns.forget_dead()
    if not _files(run):
        return
    with engine.plain_errors():
        here = _engine(engine.connect().info())
    for ledger in _ledgers(here, run):
        if not ledger.lives():
            ledger.path.unlink(missing_ok=True)


def _files(run: str = "") -> list[Path]:
    return sorted(paths.NAMES.glob(f"{run or '*'}.json"))


def _ledgers(here: str = "", run: str = "") -> Iterator[_Ledger]:
    """The ledgers of this owner on one engine or on all, or that of one run."""
    for path in _files(run):
        # It was released meanwhile, or another version of ours has written it, and what that has in addition does not matter.
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            ledger = _Ledger(**{each.name: found[each.name] for each in fields(_Ledger) if each.name in found})
            if ledger.owner == marks.owner() and here in ("", ledger.engine):
                yield ledger


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process of this owner at a time changes what is in a ledger."""
    paths.NAMES.mkdir(parents=True, exist_ok=True)
    handle = os.open(paths.NAMES, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # no locks in this file system
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _new(here: str, info: dict[str, Any]) -> _Ledger:
    now = time.time()
    there = _seconds(info["SystemTime"]) if info.get("SystemTime") else now
    me = psutil.Process()
    return _Ledger(marks.RUN, marks.owner(), me.pid, me.create_time(), here, there - now, there)


def _engine(info: dict[str, Any]) -> str:
    """What tells one engine from another."""
    return engine.identity(info) or engine.host()


def _turn(here: str, kind: str, name: str) -> str:
    return f"name-{short_hash(here.encode(), kind.encode(), name.encode())}"


def _full(image: str) -> str:
    """An image's name with its tag."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _holders(kind: str, name: str, things: list[_Thing], ledgers: Iterable[_Ledger]) -> Iterator[tuple[str, str]]:
    """Who has a name or port already, and how to go on."""
    held = [thing for thing in things if thing.has(kind, name)]
    if kind == "port" and not held:
        yield from _listeners(int(name))
    for thing in held:
        ours = thing.owner == marks.owner() or any(ledger.made(thing) for ledger in ledgers)
        since = datetime.fromtimestamp(thing.created).strftime("%Y-%m-%d %H:%M")
        about = [thing.about, _("made {time}", time=since)]
        if thing.project:
            about.append(_("Compose project {name}", name=thing.project))
        if ours or thing.owner:
            about.append(_("left by an earlier run") if ours else _("of another checkout"))
        facts = {"kind": KINDS[thing.kind], "name": thing.name, "about": ", ".join(filter(None, about))}
        if kind == "port":
            taken = _("port {port} is taken by the {kind} {name} ({about})", port=name, **facts)
        else:
            taken = _("the {kind} {name} is there already ({about})", **facts)
        own = name if kind == "project" else thing.name
        another = _another_port(name) if kind == "port" else ""
        yield taken, "`boxlab clean`" if ours else WAYS_ON[kind].format(name=own, another=another)


def _another_port(name: str) -> str:
    """How to take another port than the one that a notebook has."""
    said = next((key for key, value in os.environ.items() if key.startswith(PORT_VARIABLE) and value == name), "")
    line = f"`%env {said or PORT_VARIABLE + name}={_other(int(name))}`"
    return _("take another port by {line} in a cell above, and run this one again", line=line)


def _other(number: int) -> int:
    return number + 1000 if number < 60000 else number - 1000


def _listeners(port: int) -> Iterator[tuple[str, str]]:
    """Who else listens on a TCP port of this machine, and how to go on."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        try:
            listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid]
            process = next((psutil.Process(c.pid) for c in listening if c.laddr and c.laddr.port == port), None)
            who = _("{program}, process {number}", program=process.name(), number=process.pid) if process else ""
        except psutil.Error:  # not ours to see, or gone meanwhile
            who = ""
        who = who or _("another program ({why})", why=error.strerror)
        fix = _("end that program, and run the cell again; or {another}", another=_another_port(str(port)))
        yield _("port {port} is taken by {who}", port=port, who=who), fix


def _things() -> Iterator[_Thing]:
    """All on the engine that has a name, and the images that have lost theirs."""
    client = engine.connect()
    api = client.api
    for found in api.containers(all=True):
        remove = partial(api.remove_container, found["Id"], force=True, v=True)
        ports = tuple({port["PublicPort"] for port in found.get("Ports") or () if "PublicPort" in port})
        for name in found["Names"]:
            about = _("of {image}", image=short_name(found["Image"]).removesuffix(":latest"))
            yield _thing("container", name.lstrip("/"), found["Id"], found, about, remove, ports)
    for found in api.networks():
        yield _thing("network", found["Name"], found["Id"], found, "", partial(engine.remove_network, found["Id"]))
    for found in api.volumes()["Volumes"] or ():
        name = found["Name"]
        found["Created"] = found.get("CreatedAt") or 0
        yield _thing("volume", name, f"{name} {found['Created']}", found, "", partial(api.remove_volume, name))
    for found in engine.listed():
        for name in [short_name(tag) for tag in engine.tags(found)] or [""]:
            yield _thing("image", name, found["Id"], found, "", partial(api.remove_image, name or found["Id"]))


def _thing(
    kind: str,
    name: str,
    id: str,
    found: dict[str, Any],
    about: str,
    remove: Callable[[], None],
    ports: tuple[int, ...] = (),
) -> _Thing:
    labels = found.get("Labels") or {}
    project = labels.get(PROJECT_LABEL, "")
    if kind == "image" and not name.startswith((f"{project}-", f"{project}_")):
        project = ""  # a label that it has from the image that it is built on
    created = found["Created"]
    created = created if isinstance(created, int | float) else _seconds(created)
    return _Thing(kind, name, id, created, project, labels.get(engine.OWNER_LABEL, ""), about, remove, ports)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _beat(path: Path, ended: threading.Event) -> None:
    """Touch a ledger until the run gives its names back, or something else has removed it."""
    while not ended.wait(BEAT_S):
        try:
            os.utime(path)
        except FileNotFoundError:
            return


def _watch() -> None:
    """In a notebook, note after each cell what it has created."""
    shell = progress.ipython()
    if shell and _before_cell not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _before_cell)
        shell.events.register("post_run_cell", _after_cell)


class _NotRun(ast.NodeTransformer):
    """Keeps a notebook from running any cell but one that declares: the others' commands would meet what is somebody else's."""

    def __init__(self, reason: str):
        self._reason = reason

    def visit(self, node: ast.AST) -> ast.AST:
        if any(isinstance(part, ast.Attribute) and part.attr == declare.__name__ for part in ast.walk(node)):
            return node
        from IPython.core.error import InputRejected

        text = _("not run, as {reason}: free that, then run the first cell again", reason=self._reason)
        rejected = InputRejected(text)
        vars(rejected)["_render_traceback_"] = lambda: [text]
        raise rejected


def _stop_cells(reason: str) -> None:
    _let_cells_run()
    if shell := progress.ipython():
        shell.ast_transformers.append(_NotRun(reason))


def _let_cells_run() -> None:
    if shell := progress.ipython():
        shell.ast_transformers[:] = [each for each in shell.ast_transformers if not isinstance(each, _NotRun)]


def _before_cell(*_: object) -> None:
    with _alone():
        for ledger in _ledgers(run=marks.RUN):
            ledger.until = None
            ledger.save()


def _after_cell(*_: object) -> None:
    if not _files(marks.RUN):
        return
    try:
        with engine.plain_errors():
            things = list(_things())
    except EngineError:
        return  # then the ledger says that a cell still runs, and all that has the names is the run's
    with _alone():
        for ledger in _ledgers(run=marks.RUN):
            ledger.see(things)
            ledger.until = time.time() + ledger.ahead
            ledger.save()

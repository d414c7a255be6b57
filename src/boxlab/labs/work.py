"""What a check is given: the learner's files, and ways to run them that always end and leave nothing."""

import contextlib
import json
import secrets
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from boxlab import marks
from boxlab.errors import BoxlabError, NotReady
from boxlab.interrupts import deferred
from boxlab.labs.checks import SLACK, Mismatch, printed
from boxlab.language import _

if TYPE_CHECKING:  # the engine's library takes longer to import than a lab without an engine to check
    from boxlab.labs.build import Image
    from boxlab.labs.compose import Project
    from boxlab.labs.lasting import Lasting
    from boxlab.labs.machine import Machine
    from boxlab.labs.sandbox import Ran, Sandbox
    from boxlab.runtimes.spawn import EngineContainer


CALL = """
import importlib, json, sys
sys.path.insert(0, "")
sys.tracebacklimit = 2
request = json.loads(sys.stdin.read())
module = importlib.import_module(request["module"])
answers = [getattr(module, name)(*arguments) for name, *arguments in request["calls"]]
plain = lambda value: value.item() if hasattr(value, "item") else json.JSONEncoder().default(value)
print("\\n" + request["mark"] + json.dumps(answers, default=plain))
"""
"""Calls functions of a learner's. Whoever forges an answer has to know it: what is expected stays with the check."""

STARTS_NOT = ("oci runtime", "unable to find user", "no command specified")
"""Part of what an engine says where an image's own command or user may be the reason that a container does not start."""


LIMITS: dict[str, Any] = {
    "network_mode": "none",
    "mem_limit": "256m",
    "memswap_limit": "256m",
    "nano_cpus": 10**9,
    "pids_limit": 64,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
"""How a container is held where a check does not say otherwise, as docker's `create_host_config` has it."""


AS_USUAL: dict[str, Any] = {"cap_drop": [], "security_opt": []}
"""How a container of a learner's image is held: with the capabilities that `docker run` gives, so that an entry point that begins as
root can become another user."""


class Work:
    """One run of the checks over one learner's files.

    Attributes:
        folder: the starter with the learner's files and what is planted over it; a copy that checks may change.
        random: what a check draws from, so that `boxlab check --seed` draws the same again.
    """

    def __init__(
        self, lab_id: str, starter: Path, folder: Path, plant: "Planter", needs_engine: bool = True, seed: int = 0
    ):
        self.lab_id, self.folder = lab_id, folder
        self._starter, self._plant = starter, plant
        self._needs_engine, self._seed = needs_engine, seed
        self.begin("")

    def begin(self, check: str) -> None:
        """Let `random` draw what it draws for that check, whatever the checks before it have drawn."""
        self.random = Random(f"{self._seed} {check}")

    def text(self, name: str) -> str:
        """The text of a file that was handed in; empty where it is not there, as only optional ones are not."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def toml(self, name: str) -> dict[str, Any]:
        """The content of a TOML file that was handed in.

        Raises:
            Mismatch: it is none.
        """
        try:
            return tomllib.loads(self.text(name).removeprefix("\ufeff"))  # the mark of an editor for Windows
        except (ValueError, RecursionError) as error:  # of any number of digits, and brackets without end, Python's own
            raise Mismatch(
                _("{file} is TOML", file=name),
                printed(str(error)),
                _("it is read by a program"),
                _("mend the line of {file}; text needs quotes", file=name),
            ) from error

    def copy(self) -> Path:
        """A further copy of `folder`, to be changed and compared."""
        return Path(shutil.copytree(self.folder, self._new() / "copy"))

    @cached_property
    def starter(self) -> Path:
        """The starter as `boxlab start` gave it out, with the same things planted."""
        folder = Path(shutil.copytree(self._starter, self._new() / "starter"))
        self._plant(folder)
        return folder

    @cached_property
    def _solution(self) -> dict[str, bytes]:
        """The lab's own answer, by which a slow machine is told from a fault; empty where there is none."""
        return _contents(self._starter.with_name("solution"))

    @property
    def held(self) -> str:
        """What holds the programs that ran; empty where it is the usual, or none ran."""
        return self._sandbox.held if "_sandbox" in vars(self) else ""

    @cached_property
    def _sandbox(self) -> "Sandbox":
        """What programs of the learner's run in."""
        from boxlab.labs import sandbox

        return sandbox.choose(self._needs_engine)

    def run(
        self, argv: list[str], files: dict[str, str] | None = None, beside: "Container | None" = None, **options: Any
    ) -> "Ran":
        """Run a program of the learner's to its end, in the sandbox, over a copy of `folder` that no other program sees.

        Args:
            argv: the command; "python" as its first word is the sandbox's own, which has numpy, scipy and pandas.
            files: further files, by name; they count before those of the folder.
            beside: a container of the check without a network: the program reaches what listens there, at localhost, and nothing else.
            options: `input`, `serve`, `serve_known`, limits and words, as for `sandbox.run`.

        Raises:
            Mismatch: it does not end, prints too much or is not there.
            BoxlabError: it could not be held or removed.
        """
        from boxlab.labs import sandbox

        found, solution = _contents(self.folder), self._solution
        further = {name: text.encode() for name, text in (files or {}).items()}
        known = found | solution | further if solution else None
        box = self._sandbox
        if beside:
            assert isinstance(box, sandbox.Containers)  # a lab with containers needs an engine
            box = replace(box, network=f"container:{beside.spawned.id}")
        return sandbox.run(box, argv, found | further, known=known, **options)

    def call(self, module: str, *calls: tuple[Any, ...], next: str = "", **limits: Any) -> list[Any]:
        """What functions in a file of the learner's return, as JSON has it.

        Args:
            module: the file's name, without ".py".
            calls: of each the function's name and its arguments.
            next: what the learner should do if they do not return.

        Raises:
            Mismatch: the file cannot be imported, or a function raises, or returns what JSON does not have.
            BoxlabError: as for `run`.
        """
        mark = secrets.token_hex(8)
        request = json.dumps({"module": module, "calls": calls, "mark": mark})
        name = f"`{calls[0][0]}`"
        ran = self.run(["python", "-c", CALL], input=request, name=name, next=next, **limits)
        found, answers = ran.output.rpartition(mark)[1:]
        if found and not ran.status:
            with contextlib.suppress(ValueError):  # a thread of the learner's has printed amid it
                returned: list[Any] = json.JSONDecoder().raw_decode(answers)[0]  # what ends at exit prints after it
                return returned
        raise Mismatch(
            _(
                "{file} can be imported, and {function} returns what can be written as JSON",
                file=f"{module}.py",
                function=name,
            ),
            _("it ended with status {status}:\n{output}", status=ran.status, output=ran.shown),
            _("no answer, nothing to judge"),
            next or _("call it yourself: {command}", command=f"python3 -c 'import {module}'"),
        )

    def build(
        self,
        name: str = "answer",
        folder: Path | None = None,
        seconds: float = 120,
        arguments: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        cached: bool = True,
        based: bool = False,
    ) -> "Image":
        """The image of `folder`, built without a network.

        Args:
            name: what tells it from others that the lab builds.
            folder: another context.
            seconds: how long it may take.
            arguments: the Dockerfile's, by name.
            secrets: what it may mount, by their ids.
            cached: whether lines that have not changed are taken from the cache; what they read from a secret may have changed.
            based: whether it has to stand on the base image.

        Raises:
            Mismatch: it does not build, or not in time, or stands on something else.
            EngineError: the engine is in the way, or knows no secrets.
        """
        from boxlab.labs import build

        name = f"{self.lab_id}-{name}"
        return build.build(
            folder or self.folder,
            name,
            seconds,
            arguments,
            secrets,
            known=self._solution,
            cached=cached,
            based=based,
        )

    def image(self, name: str) -> str:
        """One of the book's own images, such as "registry", by the name under which `container` takes it; built if it is not there.

        Raises:
            BoxlabError: it cannot be built.
        """
        from boxlab import images

        return images.ensure(name).tag

    def stages(
        self,
        seconds: float = 120,
        arguments: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        cached: bool = True,
    ) -> Iterator["Image"]:
        """The image of each stage of `folder` but the last, one after another; see `build.stages`."""
        from boxlab.labs import build

        return build.stages(self.folder, self.lab_id, seconds, arguments, secrets, self._solution, cached)

    @contextlib.contextmanager
    def container(
        self,
        image: "Image | str",
        command: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> Iterator["Container"]:
        """A running container, attached, gone at the end of the block.

        Args:
            image: one that was built, or a name.
            command: in place of the image's own.
            settings: what the learner chose, as `accepted` returns and `within` bounds it; it counts before the others.
            options: `environment`, its variables; the others as for docker's `create_host_config`, by default `LIMITS`.

        Raises:
            Mismatch: it does not start, and another does: its command is not there, or the like.
            EngineError: the engine is in the way.
        """
        import docker.errors
        from docker.types import LogConfig

        from boxlab.errors import EngineError
        from boxlab.runtimes.spawn import EngineContainer

        limits = (
            LIMITS | {"log_config": LogConfig(type="none")} | options
        )  # what it prints comes to us, and fills no disk
        spawned = None
        try:
            with deferred():
                spawned = EngineContainer(
                    image if isinstance(image, str) else image.id, command, host=settings, apart=True, **limits
                )
            yield Container(spawned)
        except EngineError as error:
            cause = error.__cause__
            of_the_image = any(words in str(cause).lower() for words in STARTS_NOT)
            if spawned or not isinstance(cause, docker.errors.APIError) or not of_the_image:
                raise
            from boxlab.labs.lasting import require_start

            require_start(**limits)
            raise Mismatch(
                _("the container starts"),
                str(cause.explanation),
                _("the engine could make the container, and not start its command"),
                _("look at the command ({names}) and the user", names="CMD, ENTRYPOINT"),
            ) from error
        finally:
            if spawned:
                with deferred():
                    spawned.stop(grace_s=0)

    def compose(self, name: str = "compose.yaml") -> dict[str, Any]:
        """The model of the learner's Compose file, which reaches nothing but its own; see `compose.read`.

        Raises:
            Mismatch: it is none, or would reach beyond.
            BoxlabError: Compose is missing.
        """
        from boxlab.labs import compose

        return compose.read(self.folder, f"lab-{self.lab_id}-{marks.RUN}".lower(), name)

    @contextlib.contextmanager
    def project(self, model: dict[str, Any]) -> Iterator["Project"]:
        """What a model describes, as `compose` returns it, not started yet; gone at the end of the block, volumes too.

        Raises:
            EngineError: the engine is in the way.
        """
        from boxlab.labs import compose

        made = compose.Project(model, self.folder)
        try:
            yield made
        finally:
            made.remove()

    def accepted(self, asked: dict[str, Any], forms: dict[str, str]) -> dict[str, Any]:
        """What the Docker SDK and the engine make of options that the learner chose; see `lasting.accepted`.

        Raises:
            Mismatch: one of them refuses a value.
            EngineError: the engine is in the way.
        """
        from boxlab.labs import lasting

        return lasting.accepted(asked, forms)

    def within(self, settings: dict[str, Any], memory_mib: int, processes: int) -> dict[str, Any]:
        """Such settings within bounds that hold whatever the learner says; see `lasting.within`."""
        from boxlab.labs import lasting

        return lasting.within(settings, memory_mib, processes)

    @contextlib.contextmanager
    def lasting(
        self,
        image: "Image | str",
        command: list[str] | None = None,
        settings: dict[str, Any] | None = None,
        health: dict[str, Any] | None = None,
        session: dict[str, Any] | None = None,
        **options: Any,
    ) -> Iterator["Lasting"]:
        """A container that was created and not started, and that stays when it has ended; gone at the end of the block.

        Args:
            image: one that was built, or a name.
            command: in place of the image's own.
            settings: what the learner chose, as `accepted` returns and `within` bounds it; it counts before the others.
            health: how its health is checked, as the engine's `Healthcheck` has it; what it leaves out is as the image says.
            session: what `docker run` says in place of the image: `environment`, `user`, `working_dir`.
            options: as for docker's `create_host_config`; by default `LIMITS`.

        Raises:
            Mismatch: it has no command.
            EngineError: the engine is in the way, or discards limits.
        """
        from docker.types import LogConfig

        from boxlab.labs.lasting import Lasting

        kept = {"log_config": LogConfig(type="json-file", config={"max-size": "1m"})}
        ident = image if isinstance(image, str) else image.id
        made = Lasting(ident, command, LIMITS | kept | options, settings or {}, health, session)
        try:
            yield made
        finally:
            made.remove()

    def volume(self) -> contextlib.AbstractContextManager[str]:
        """The name of a new volume for containers of the check; see `lasting.volume`."""
        from boxlab.labs import lasting

        return lasting.volume(f"lab-{self.lab_id}")

    @contextlib.contextmanager
    def machine(self, program: str, memory_mib: int = 128) -> Iterator["Machine"]:
        """A virtual machine of the book's own, resumed in a moment, whose first program is the lab's; gone at the end of the block.

        Args:
            program: Python source with a function `answer`, from JSON to JSON, which `Machine.ask` calls.

        Raises:
            BoxlabError: none boots here, or this one does not.
        """
        from boxlab.labs import machine

        with machine.machine(f"lab-{self.lab_id}", program, memory_mib) as made:
            yield made

    def readings(self, counts: Iterable[int], own_mib: int, shared_mib: int) -> list[dict[str, Any]]:
        """What so many containers of one program take, as `boxlab readings` prints it; nothing of the learner's runs in them.

        Arguments and errors as for `labs.readings.take`, which says what a reading has.
        """
        from boxlab.labs import readings

        return readings.take(counts, own_mib, shared_mib)

    def _new(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder.parent))


class Planter:
    """Lays what a lab plants into a folder; the same each time."""

    def __init__(self, plant: Callable[[Path, Random], object] | None, seed: int):
        self._function, self._seed = plant, seed

    def __call__(self, folder: Path) -> None:
        if self._function:
            self._function(folder, Random(self._seed))


ANSWERS = "for line in open(0): print(line, end='', flush=True)"
"""The program of a container that says what it is told."""


def _require_answer(seconds: float) -> None:
    """See that a container answers here in a part of that time: a control, on the base image.

    Raises:
        BoxlabError: it does not, so that silence is not the learner's mistake.
    """
    from boxlab import images
    from boxlab.runtimes.console import Console
    from boxlab.runtimes.spawn import EngineContainer

    with deferred():
        control = EngineContainer(f"{images.PREFIX}base", ["python3", "-c", ANSWERS], **LIMITS)
    try:
        control.send(b"ready\n")
        Console(control, {}, time.monotonic()).next("(ready)", seconds / SLACK)
    except NotReady as error:
        raise BoxlabError(
            _("a container that only answers is silent for {seconds:g} s here as well", seconds=seconds / SLACK),
            _("check again when the machine is less busy"),
        ) from error
    finally:
        with deferred():
            control.stop(grace_s=0)


def _contents(folder: Path) -> dict[str, bytes]:
    """What the files below a folder hold, by their paths from there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Container:
    """A container that runs, and what it prints on stdout; what it prints on stderr is told where it fails.

    Attributes:
        spawned: for `inspect()`, `pids()`, `stop(grace_s)`, `id`.
    """

    def __init__(self, spawned: "EngineContainer"):
        from boxlab.runtimes.console import Console

        self.spawned = spawned
        self._console = Console(spawned, {}, time.monotonic())

    @property
    def process(self) -> int:
        """The number that its first process has on the machine of the engine.

        Raises:
            EngineError: the engine is in the way.
        """
        process: int = self.spawned.inspect()["State"]["Pid"]
        return process

    def expect(self, pattern: str = "", seconds: float = 10, next: str = "") -> str:
        """What the one group of `pattern` matches in the next line that has such; by default the next line.

        Raises:
            Mismatch: none came in time though another container answers, it ended, or it printed without end.
            BoxlabError: no container answers in time here.
        """
        try:
            return self._console.next(pattern, seconds)
        except NotReady as error:
            if error.hung:
                _require_answer(seconds)
            raise Mismatch(
                _("a line within {seconds:g} s that matches {pattern}", seconds=seconds, pattern=pattern)
                if pattern
                else _("a line within {seconds:g} s", seconds=seconds),
                str(error) + self._errors(),
                _("what does not answer in time does not work for those who ask it"),
                next or _("run the container by hand and look at what it prints"),
            ) from error

    def ask(self, line: str, seconds: float = 10, next: str = "") -> str:
        """Write a line to its input and return the next one that it prints.

        Raises:
            Mismatch: as for `expect`.
        """
        with contextlib.suppress(NotReady):  # it has ended: what it printed last says why
            self.spawned.send(line.encode() + b"\n")
        return self.expect(seconds=seconds, next=next)

    def _errors(self) -> str:
        """The end of what it has printed on stderr, for a message."""
        said = bytes(self.spawned.errors).decode(errors="replace").splitlines()[-5:]
        return _("; it printed on stderr:\n{output}", output=printed("\n".join(said))) if said else ""

    @property
    def lines(self) -> list[str]:
        """Every line that has been read of what it prints."""
        return [text for _at, text in self._console.lines]

    def kill(self) -> None:
        """Kill it (SIGKILL) before its input closes, which a program may take for its end.

        Raises:
            EngineError: it is not running, or the engine is in the way.
        """
        from boxlab import engine

        with engine.plain_errors():
            engine.connect().api.kill(self.spawned.id, "SIGKILL")

    def execute(self, command: list[str], user: str = "") -> str:
        """What a further command in it prints.

        Raises:
            EngineError: the engine is in the way.
        """
        from boxlab.labs import lasting

        return lasting.execute(self.spawned.id, command, user)

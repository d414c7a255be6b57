"""The one way to build an image: by BuildKit where the engine has it, else by the classic builder of old engines.

What a build has replaced is removed. Steps that the classic builder has left without a name get one, or go as well;
of BuildKit's builds, the records in its cache remain.
"""

import codecs
import contextlib
import math
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import docker.errors
import requests
import urllib3

from boxlab import client, disk, engine, marks, paths, progress
from boxlab.errors import EngineError
from boxlab.interrupts import signal_group
from boxlab.language import _

OUTPUT_CHARS = 256 << 10
"""How much of a build's output is kept: its end."""

SILENT_S = 900
"""A build that prints nothing for this long is given up."""

STOP_S = 10
"""How long the docker command may take to end when told to."""

STEP = "step-"
"""How the tag begins that a step of the classic builder's gets; such steps stand on each other."""

RELEASE_S = 60
"""How long the engine may hold what a build that was interrupted has made; what somebody else uses is never let go."""

_TOUCHED = 1_577_836_800  # 2020-01-01: Python packs no zip file of anything older than 1980
_SPAN = 1 << 27  # seconds, four years

_SECRET = "BOXLAB_SECRET_"
"""How variables of the docker command begin that hold secrets of a build."""


class Way(StrEnum):
    """How an image can be built."""

    BUILDX = "BuildKit, by `docker buildx build`"
    BUILDKIT = "BuildKit, by `docker build`"
    CLASSIC = "the classic builder, by `docker build`"
    CALL = "the classic builder, by the engine's call"


@dataclass(frozen=True)
class Build:
    """A build that has ended.

    Attributes:
        output: the end of what it printed.
        trouble: empty, "failed" or "late".
        seconds: how long it took.
    """

    output: str
    trouble: str
    seconds: float


@cache
def ways() -> tuple[Way, ...]:
    """The ways that there are here, best first: BuildKit by the docker command, if engine and command both have it.

    Podman understands neither that command's BuildKit nor its classic builder.

    Raises:
        EngineError: the engine does not answer.
    """
    with engine.plain_errors():
        if engine.is_podman():
            return (Way.CALL,)
        api = engine.connect().api
        has_buildkit = api.get(f"{api.base_url}/_ping").headers.get("Builder-Version") == "2"
    if not shutil.which("docker"):
        return (Way.CALL,)
    found = [Way.CLASSIC, Way.CALL]
    if has_buildkit:
        if _runs("buildx", "version"):
            found.insert(0, Way.BUILDX)
        elif _runs("build", "--help"):  # commands before version 23 bring BuildKit along
            found.insert(0, Way.BUILDKIT)
    return tuple(found)


def chosen() -> Way:
    """The way by which `build` builds.

    Raises:
        EngineError: the engine does not answer.
    """
    return ways()[0]


def build(
    folder: Path,
    tag: str,
    *,
    labels: dict[str, str],
    arguments: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    target: str = "",
    network: str | None = None,
    cached: bool = True,
    keep: bool = False,
    way: Way | None = None,
    seconds: float = math.inf,
    watch: Callable[[str], None] = lambda line: None,
) -> Build:
    """Build the image of a folder, and remove the one that had the tag before.

    Args:
        folder: the context, with a Dockerfile.
        tag: a name of ours; with `keep`, without what stands behind a colon.
        labels: of the image.
        arguments: the Dockerfile's; those of this environment's proxies are added where there is a network.
        secrets: what the Dockerfile may mount as secrets, by their ids; on no command line and in no file.
        target: the name of the stage to stop after; by default the last.
        network: "none" for a build without one.
        cached: whether steps that have not changed are taken from the cache.
        keep: whether the classic builder's steps get names of ours (`tag:step-N`), so that the next build finds them.
        way: one of `ways()`; by default the best.
        seconds: how long it may take.
        watch: is given each line that the build prints.

    Raises:
        EngineError: the engine does not answer, or its builder knows no secrets.
    """
    way, output = way or chosen(), _Output(watch)
    with engine.plain_errors():
        before = _named(tag)
    command = _by_call if way is Way.CALL else _by_command
    if secrets and way in (Way.CLASSIC, Way.CALL):
        raise EngineError(
            _("secrets of a build need BuildKit, and here is {way}", way=way),
            _("install {package}, with a current engine", package="docker-buildx"),
        )
    proxied = {} if network == "none" else proxies()
    began = time.monotonic()
    try:
        trouble = command(
            way, folder, tag, labels, arguments or {}, secrets or {}, target, proxied, network, cached, seconds, output
        )
        took = time.monotonic() - began
    finally:
        with engine.plain_errors():
            if keep:
                _name_steps(tag, output)
            else:
                _remove_steps(output)
            for old in before - _named(tag):
                remove_unused(old)
    return Build(output.tail, trouble, took)


def proxies() -> dict[str, str]:
    """Build arguments that let a build through the proxy that this environment or docker's configuration names, if one does."""
    named = {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy")}
    return client.configured_proxies() | named


def _direct(proxied: dict[str, str]) -> list[str]:
    """What a docker command with a build's proxies in its environment reaches without them: where we reach the engine so, as well."""
    hosts = [proxied.get("NO_PROXY") or proxied.get("no_proxy") or ""]
    if (found := client.endpoint()).address.startswith("tcp://"):
        url = found.address.replace("tcp", "https" if found.certificates else "http", 1)
        hosts += [] if client.proxies(url) else [urlsplit(url).hostname or ""]
    return [*filter(None, hosts)]


def remove_unused(image_id: str) -> bool:
    """Remove an image, unless it has a name or something uses it; returns whether it is a container that does."""
    client = engine.connect()
    try:
        if not client.images.get(image_id).tags:
            client.images.remove(image_id)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):  # gone already, or in use
            raise
        return error.status_code == 409 and "container" in str(error.explanation)
    return False


def unnamed(label: str = "") -> set[str]:
    """The ids of the images without a name that carry a label, by default this owner's: those that have lost it, and steps that a build has left.

    Without what others stand on, where images have parents. What a reader builds on an image inherits its labels.

    Raises:
        EngineError: the engine does not answer.
    """
    label = label or f"{engine.OWNER_LABEL}={marks.owner()}"
    with engine.plain_errors():
        rows = engine.listed(all=engine.keeps_packed(), filters={"label": label})
    return {row["Id"] for row in rows if not engine.tags(row)}


@contextlib.contextmanager
def staged(folder: Path, more: dict[str, bytes | None] | None = None, without: str = "") -> Iterator[Path]:
    """A copy of a context with modes and times of its own: an image must not depend on the checkout, nor on its umask.

    Args:
        folder: the context.
        more: further files, content by path; None stands for a folder.
        without: names that are left out, as a pattern.

    Raises:
        OSError: no room, or a file cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=paths.scratch(), prefix=f"context-{marks.RUN}-") as scratch:
        copy = Path(scratch) / "context"
        disk.copy(folder, copy, without)
        for name, content in (more or {}).items():
            (copy / name if content is None else (copy / name).parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                with disk.named(copy / name):
                    (copy / name).write_bytes(content)
        settle(copy)
        yield copy


def settle(folder: Path) -> None:
    """Give a context modes and times that depend on nothing but itself; what its owner may execute, everybody may.

    A file's time is made of its content, as BuildKit takes one of the same size and time for unchanged.
    """
    for place, folders, names in os.walk(folder):
        for path in [Path(place), *(Path(place, name) for name in folders + names)]:
            time_s = _TOUCHED
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            if path.is_file() and not path.is_symlink():
                time_s += zlib.crc32(path.read_bytes()) % _SPAN
            os.utime(path, (time_s, time_s), follow_symlinks=False)


@contextlib.contextmanager
def shown(name: str) -> Iterator[Callable[[str], None]]:
    """A progress bar of a build's steps, moved on by each line that it prints; lines of text where there is nothing to draw on."""
    totals: dict[str, int] = {}
    begun: set[tuple[str, str]] = set()
    with progress.bar(name, unit=_("step")) as bar:

        def watch(line: str) -> None:
            if not (step := _STEP.match(line)) or (step["stage"] or "", step["number"]) in begun:
                return
            totals[step["stage"] or ""] = int(step["of"])
            begun.add((step["stage"] or "", step["number"]))
            if bar.disable and progress.TERMINAL not in os.environ:
                told = _(
                    "{image}: step {number} of {total}: {text}",
                    image=name,
                    number=len(begun),
                    total=sum(totals.values()),
                    text=step["text"][:100],
                )
                print(told, file=sys.stderr)
            bar.total, bar.n = sum(totals.values()), len(begun) - 1
            bar.set_postfix_str(step["text"][:50])

        yield watch
        bar.update(bar.total - bar.n if bar.total else 0)


_STEP = re.compile(
    r"(?:#\d+ \[(?:(?P<stage>\S+) +)?|Step )(?P<number>\d+)/(?P<of>\d+)(?:\] | : )(?P<text>.*)"
)  # of BuildKit and of the classic builder


class _Output:
    """What a build prints: its end, and the images that the classic builder's steps have made, stage by stage.

    What a stage is FROM is not among them: it was there before.
    """

    def __init__(self, watch: Callable[[str], None]):
        self.tail = ""
        self.stages: list[list[str]] = [[]]
        self._watch, self._line, self._from = watch, "", False

    def add(self, text: str) -> None:
        self.tail = (self.tail + text)[-OUTPUT_CHARS:]
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[-OUTPUT_CHARS:]
        for line in map(str.rstrip, lines):
            if (made := re.match(r" ---> ([0-9a-f]{12,})$", line)) and not self._from:
                self.stages[-1].append(made[1])
            elif step := re.match(r"Step \d+/\d+ : (FROM )?", line, re.IGNORECASE):
                if step[1]:
                    self.stages.append([])
                self._from = bool(step[1])
            self._watch(line)

    def steps(self) -> list[str]:
        return [step for stage in self.stages for step in stage]


def _by_command(
    way: Way,
    folder: Path,
    tag: str,
    labels: dict[str, str],
    arguments: dict[str, str],
    secrets: dict[str, str],
    target: str,
    proxied: dict[str, str],
    network: str | None,
    cached: bool,
    seconds: float,
    output: _Output,
) -> str:
    """Build by the docker command; what went wrong."""
    variables = {"DOCKER_BUILDKIT": str(int(way is not Way.CLASSIC)), "BUILDKIT_PROGRESS": "plain"}
    variables |= {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"} | proxied
    variables |= {f"{_SECRET}{number}": secret for number, secret in enumerate(secrets.values())}
    verb = ["buildx", "build", "--load"] if way is Way.BUILDX else ["build", "--force-rm"]
    variables |= {"NO_PROXY": ",".join(_direct(proxied))} if proxied else {}  # of the command, not of the build
    command, environment = engine.docker_call(*verb, **variables)
    if way is Way.BUILDX:  # the engine's own builder, whatever other one the reader has chosen
        command += [f"--builder={'default' if environment.get('DOCKER_HOST') else client.context_name()}"]
    command += [f"--tag={tag}", *(f"--label={name}={value}" for name, value in labels.items())]
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    # Of proxies, which may hold a password, no value: everybody can read a command line.
    command += [f"--build-arg={n}={v}" if n.lower() == "no_proxy" else f"--build-arg={n}" for n, v in proxied.items()]
    command += [f"--secret=id={name},env={_SECRET}{number}" for number, name in enumerate(secrets)]
    command += [f"--target={target}"] if target else []
    command += [f"--network={network}"] if network else []
    command += [] if cached else ["--no-cache"]
    process = subprocess.Popen(
        [*command, str(folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout  # a pipe
    try:
        if not _read(process.stdout, seconds, output):
            return "late"
        return "failed" if process.wait(STOP_S) else ""
    finally:
        signal_group(process.pid, signal.SIGTERM)  # it tells the engine to stop
        _read(process.stdout, STOP_S, output)  # and ends once we have read what it had to say
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _read(stream: IO[bytes], seconds: float, output: _Output) -> bool:
    """Read a stream within a time, and whether that was all of it."""
    decoder, deadline = codecs.getincrementaldecoder("utf-8")("replace"), time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and select.select([stream], [], [], min(left, SILENT_S))[0]:
        chunk = os.read(stream.fileno(), 1 << 16)
        output.add(decoder.decode(chunk, final=not chunk))
        if not chunk:
            return True
    return False


def _by_call(
    way: Way,
    folder: Path,
    tag: str,
    labels: dict[str, str],
    arguments: dict[str, str],
    secrets: dict[str, str],
    target: str,
    proxied: dict[str, str],
    network: str | None,
    cached: bool,
    seconds: float,
    output: _Output,
) -> str:
    """The same by the engine's own call, which Podman knows as well."""
    deadline = time.monotonic() + seconds
    with engine.plain_errors():
        api = engine.another().api
        try:
            stream = api.build(
                path=str(folder),
                tag=tag,
                network_mode=network,
                labels=labels,
                buildargs=proxied | arguments,
                target=target or None,
                nocache=not cached,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=min(seconds, SILENT_S),  # type: ignore[arg-type]  # parts of a second count as well
            )
            for event in stream:
                output.add(event.get("stream", "") + event.get("error", ""))
                if "error" in event:
                    return "failed"
                if time.monotonic() > deadline:
                    return "late"
            return ""
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            output.add(str(error.explanation))
            return "failed"
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if "timed out" not in str(error):
                raise
            return "late"
        finally:
            api.close()  # hanging up is what makes the engine stop


def _runs(*arguments: str) -> bool:
    return engine.docker_command(*arguments, DOCKER_BUILDKIT="1").returncode == 0


def _named(tag: str) -> set[str]:
    """Ids of the images that have the name of this one or of its steps."""
    return {row["Id"] for row in engine.listed(name=tag)}


def _remove_steps(output: _Output) -> None:
    """Remove what the classic builder has made and nothing stands on, once the step that was interrupted has let go of it."""
    deadline = time.monotonic() + RELEASE_S
    for step in reversed(output.steps()):
        while remove_unused(step) and time.monotonic() < deadline:
            time.sleep(0.05)


def _name_steps(tag: str, output: _Output) -> None:
    """Give names to what the classic builder needs in order to find its steps again; BuildKit has a cache for that.

    Without a name they would be removed by nobody, and with none of them the next build would begin from nothing. Where
    images have parents, the last one of each stage holds those below it; containerd's store knows none.
    """
    client = engine.connect()
    steps = output.steps() if engine.keeps_packed() else [stage[-1] for stage in output.stages if stage]
    given = set()
    for number, step in enumerate(steps):
        with contextlib.suppress(docker.errors.ImageNotFound):
            image = client.images.get(step)
            if all(name.startswith(f"{tag}:{STEP}") for name in image.tags):
                image.tag(tag, f"{STEP}{number}")
                given.add(f"{tag}:{STEP}{number}")
    for row in engine.listed(name=tag):
        for name in set(engine.tags(row)) - given:
            if name.startswith(f"{tag}:{STEP}"):
                client.images.remove(name)

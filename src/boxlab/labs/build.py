"""Build a learner's image as `docker build` would, and look into it; what stays has a name of ours."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import docker.errors
import requests
import urllib3

from boxlab import engine, images, layers, marks
from boxlab.errors import EngineError
from boxlab.labs.checks import Mismatch, next_difference, printed

OUTPUT_BYTES = 256 << 10
"""How much of a build's output is kept: its end."""

CHATTER = ("DEPRECATED: ", "            Install the buildx", "            https://", "Sending build context")
"""How lines of `docker build` begin that say nothing of the learner's build."""

ASKED_A_REGISTRY = (
    "a name after FROM or --from= that is no image here and no stage is looked for at a registry; "
    f"the stages build on {images.PREFIX}base"
)
"""What to do where a build has wanted to fetch an image."""

STOP_S = 10
"""How long the docker command may take to end when told to."""


@dataclass(frozen=True)
class Image:
    """An image that a check has built.

    Attributes:
        layers: ids of its layers, lowest first.
        on_base: whether it stands on the base image.
        added: bytes above the base image; all of it, where it does not stand on that.
    """

    id: str
    tag: str
    layers: tuple[str, ...]
    on_base: bool
    added: int

    def common(self, other: "Image") -> int:
        """How many of its lowest layers it has in common with another."""
        return next_difference(self.layers, other.layers)

    def described(self) -> str:
        """What everybody can read of it without running it: its settings, and the lines that made it.

        Raises:
            EngineError: the engine is in the way.
        """
        with engine.plain_errors():
            return json.dumps([_inspect(self.tag), engine.connect().api.history(self.tag)])

    @contextlib.contextmanager
    def files(self) -> Iterator[Iterator[tuple[int, str, bytes]]]:
        """Layer number, path and content of each file above the base image, deleted ones as well: what a layer has, stays.

        Deletions themselves are files whose names begin with ".wh.".
        """
        with engine.plain_errors():
            base = images.base_of(self.layers)
            beneath = set(base.attrs["RootFS"]["Layers"]) if base else set()

        def each(archive: tarfile.TarFile) -> Iterator[tuple[int, str, bytes]]:
            for number, (layer, file) in enumerate(layers.layer_files(archive)):
                if layer in beneath:
                    continue
                with tarfile.open(fileobj=file, mode="r:*") as opened:
                    for member in opened:
                        yield number, member.name, opened.extractfile(member).read() if member.isfile() else b""

        with layers.saved(f"{self.tag}:latest") as archive:
            yield each(archive)


def build(folder: Path, name: str, seconds: float) -> Image:
    """Build the image of a folder by the reader's own `docker build`, or by the engine's call.

    By the latter without that command, and with Podman, which does not understand that command's BuildKit. The build has no
    network, so that it does not depend on one.

    Args:
        folder: the context, with a Dockerfile.
        name: the tag is made of it.
        seconds: how long it may take.

    Raises:
        Mismatch: it does not build, or not in time.
        EngineError: the engine is in the way.
    """
    tag = f"{images.LAB_PREFIX}{name}-{marks.owner()}"
    with engine.plain_errors():
        before = _ours(tag)
        call = _by_command if shutil.which("docker") and not engine.is_podman() else _by_engine
    output, trouble = call(folder, tag, seconds)
    with engine.plain_errors():
        _name_stages(tag, output)
        for old in before - _ours(tag):
            images.remove_unused(old)
    if trouble:
        engine.ping()
        _blame(output, trouble, seconds)
    try:
        with engine.plain_errors():
            image = _inspect(tag)
            base = images.base_of(image["RootFS"]["Layers"])
    except EngineError as error:
        raise EngineError(
            f"the builder did not leave the image on the engine: {error}", "`docker buildx use default`"
        ) from error
    added = image["Size"] - (base.attrs["Size"] if base else 0)
    return Image(image["Id"], tag, tuple(image["RootFS"]["Layers"]), bool(base), added)


def _by_command(folder: Path, tag: str, seconds: float) -> tuple[str, str]:
    """Output of `docker build`, and what went wrong."""
    arguments = [f"--build-arg={name}={value}" for name, value in images.proxies().items()]
    labels = [f"--label={key}={value}" for key, value in engine.labels("lab").items()]
    command = ["docker", "build", "--network=none", "--force-rm", f"--tag={tag}", *labels, *arguments, str(folder)]
    environment = os.environ | engine.environment() | {"BUILDKIT_PROGRESS": "plain"} | marks.environment()
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, ended = _read(process.stdout, seconds)
        text = output.decode(errors="replace")
        if not ended:
            return text, "late"
        return text, "failed" if process.wait(STOP_S) else ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # it tells the engine to stop
        _read(process.stdout, STOP_S)  # and ends once we have read what it had to say
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _read(stream: IO[bytes], seconds: float) -> tuple[bytes, bool]:
    """The end of what comes out of a stream within a time, and whether that was all."""
    output, deadline = b"", time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and select.select([stream], [], [], left)[0]:
        chunk = os.read(stream.fileno(), 1 << 16)
        if not chunk:
            return output, True
        output = (output + chunk)[-OUTPUT_BYTES:]
    return output, False


def _by_engine(folder: Path, tag: str, seconds: float) -> tuple[str, str]:
    """The same by the engine's own call, which Podman knows as well."""
    output, deadline = "", time.monotonic() + seconds
    with engine.plain_errors():
        api = engine.connect().api
        try:
            stream = api.build(
                path=str(folder),
                tag=tag,
                network_mode="none",
                labels=engine.labels("lab"),
                buildargs=images.proxies(),
                rm=True,
                forcerm=True,
                decode=True,
                timeout=seconds,
            )
            for event in stream:
                output = (output + event.get("stream", "") + event.get("error", ""))[-OUTPUT_BYTES:]
                if "error" in event:
                    return output, "failed"
                if time.monotonic() > deadline:
                    return output, "late"
            return output, ""
        except docker.errors.APIError as error:
            if not error.is_client_error():
                raise
            return str(error.explanation), "failed"
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            if "timed out" not in str(error):
                raise
            return output, "late"
        finally:
            api.close()  # hanging up is what makes the engine stop


def _blame(output: str, trouble: str, seconds: float) -> None:
    """Tell a mistake of the learner's from one of the machine."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith(CHATTER)]
    last = printed("\n".join(lines[-6:]))
    if "no space left" in output.lower():
        raise engine.explain(OSError(next(line for line in lines if "no space left" in line.lower())))
    for sign in ("buildx component is missing", "Cannot connect to the Docker daemon", "error during connect"):
        if sign in output:
            raise EngineError(f"`docker build` does not work here: {last}", "`docker build` by hand says the same")
    why = "no image, nothing to check"
    if trouble == "late":
        raise Mismatch(
            f"`docker build` ends within {seconds:g} s",
            f"it was still at:\n{last}",
            why,
            "run `docker build .` in your folder and see which line does not end",
        )
    raise Mismatch(
        "`docker build` ends well, without a network",
        f"it ended with:\n{last}",
        why,
        ASKED_A_REGISTRY
        if re.search(r"pull access denied|no such host|failed to resolve|dial tcp|manifest unknown", output)
        else "mend the line of the Dockerfile that is named last, or the one that should have given it its files and rights "
        "(COPY, USER, .dockerignore); `docker build --network=none .` in your folder says the same",
    )


def _name_stages(tag: str, output: str) -> None:
    """Give a name to the last image of each stage that the classic builder made; BuildKit has none.

    Without a name they would be removed by nobody, and with none of them the next build would begin from nothing.
    """
    last, stages = "", []
    for line in output.splitlines():
        if made := re.match(r" ---> ([0-9a-f]{12,})$", line):
            last = made[1]
        elif re.match(r"Step \d+/\d+ : FROM ", line, re.IGNORECASE) and last:
            stages.append(last)
            last = ""
    client = engine.connect()
    have_names = {_inspect(images.PREFIX + "base")["Id"]} | _ours(f"{tag}:latest")
    given = set()
    for number, stage in enumerate([*stages, last]):
        with contextlib.suppress(docker.errors.ImageNotFound):
            if stage and (image := client.images.get(stage)).id not in have_names:
                image.tag(tag, f"stage-{number}")
                given.add(f"{tag}:stage-{number}")
    for image in client.images.list(name=tag):
        for name in set(image.tags) - given:
            if name.startswith(f"{tag}:stage-"):
                client.images.remove(name)


def _ours(tag: str) -> set[str]:
    """Ids of the images that have the name of this one or of its stages."""
    return {image.id for image in engine.connect().images.list(name=tag)}


def _inspect(name: str) -> dict:
    return engine.connect().api.inspect_image(name)

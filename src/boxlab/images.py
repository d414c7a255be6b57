"""The images that the book builds: where the base comes from, in what order, and how one is built."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import docker.errors
import requests
import urllib3
from docker.models.images import Image

from boxlab import engine, marks, paths, progress, turns
from boxlab.errors import BuildError

PREFIX = "containers-measured/"
"""All our tags begin with it; we never tag with a name that is not ours."""

LAB_PREFIX = f"{PREFIX}lab-"
"""Names of what the labs build. They stay, so that the next check takes unchanged steps from the cache: an image for each
that a lab builds, and with the classic builder one for each stage below it. What a later check replaces is removed."""

PASSING = (f"{PREFIX}rung-", f"{PREFIX}origin")
"""How names begin of images that do not outlive what made them."""

HUB_IMAGE = "python:3.13-slim-bookworm"
HUB_DIGEST = "sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8"
"""The base image on Docker Hub and the digest of its multi-platform index."""

SUITE = "bookworm"
"""The Debian release of that image, from whose packages we make the base where the Hub cannot be reached."""

KEY_LABEL = f"{engine.LABEL}.key"
ORIGIN_LABEL = f"{engine.LABEL}.origin"

_STALLED_S = 900  # a build step that prints nothing for this long is given up


@dataclass(frozen=True)
class Built:
    """An image that is there now."""

    name: str
    tag: str
    id: str
    environment: dict[str, str]
    command: list[str]
    working_dir: str
    labels: dict[str, str]
    fresh: bool
    """Whether this call built it."""


def names() -> list[str]:
    """Every image of the book, parents first."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name not in ordered:
            if parent := _parent(name):
                visit(parent)
            ordered.append(name)

    for folder in sorted(p.parent.name for p in paths.IMAGES.glob("*/Dockerfile")):
        visit(folder)
    return ordered


def own(name: str) -> str:
    """This checkout's own name of an image of the book.

    Checkouts on one engine may differ, so each has a name of its own for what it uses; where their files are the same, it is
    one image, and gone when its last name is. The name without a tag is for people, and means what was asked for last.
    """
    return f"{PREFIX}{name}:{marks.owner()}"


def find(name: str) -> Built | None:
    """The image `name`, if it is there and neither its files nor its parents have changed since; never builds.

    Raises:
        BuildError: the book has no such image.
        EngineError: the engine does not answer.
    """
    context = _context(name)
    parent = _parent(name)
    built_on = find(parent) if parent else None
    if parent and not built_on:
        return None
    key = _key(context, built_on)
    with engine.plain_errors():
        image = next((image for image in _candidates(name) if image.labels.get(KEY_LABEL) == key), None)
    return _built(name, image, fresh=False) if image else None


def _candidates(name: str) -> Iterator[Image]:
    """The image of this checkout's own name, then those of other checkouts."""
    if image := _get(own(name)):
        yield image
    yield from engine.connect().images.list(name=PREFIX + name)


def ensure(name: str) -> Built:
    """The image `name`, built first where it is missing or its files or parents have changed.

    Raises:
        BuildError: the book has no such image, or its build failed.
        EngineError: the engine does not answer.
    """
    context = _context(name)
    built_on = ensure(parent) if (parent := _parent(name)) else None
    if found := find(name):
        return _adopted(found)
    with turns.turn(f"images-{short_hash(engine.host().encode())}", "the images are built"):
        return _adopted(find(name) or _made(name, context, built_on))


def _adopted(built: Built) -> Built:
    """The same image, under this checkout's own name and that for people; what had them before goes, if nothing needs it."""
    with engine.plain_errors():
        for name in (own(built.name), f"{PREFIX}{built.name}:latest"):
            replaced = _get(name)
            if not replaced or replaced.id != built.id:
                engine.connect().api.tag(built.id, *name.rsplit(":", 1))
                if replaced:
                    remove_unused(replaced.id)
    return built


def _on_own(context: Path) -> bytes:
    """The Dockerfile, building on this checkout's own images: the name for people may be moved at any time."""
    text = (context / "Dockerfile").read_text()
    return re.sub(rf"^FROM {PREFIX}([\w-]+)", lambda found: f"FROM {own(found[1])}", text, flags=re.MULTILINE).encode()


def _made(name: str, context: Path, built_on: Built | None) -> Built:
    labels = {KEY_LABEL: _key(context, built_on)}
    with engine.plain_errors():
        replaced = _get(own(name))
        if name == "base":
            with _origin() as origin:
                certificates = {f"certificates/host-{i}.crt": pem for i, pem in enumerate(extra_certificates())}
                _build(
                    name, context, labels | {ORIGIN_LABEL: origin.description}, {"ORIGIN": origin.image}, certificates
                )
        else:
            _build(name, context, labels, {}, {"Dockerfile": _on_own(context)})
        if replaced:
            remove_unused(replaced.id)
        return _built(name, _get(own(name)), fresh=True)


def there() -> dict[str, Image]:
    """The images of the book that this checkout has, or that it would find under the name for people, by name.

    Raises:
        EngineError: the engine does not answer.
    """
    with engine.plain_errors():
        found = {name: _get(own(name)) or _get(PREFIX + name) for name in names()}
    return {name: image for name, image in found.items() if image}


def base_of(layers: Sequence[str]) -> Image | None:
    """The base image, whichever checkout's, that an image with these layers stands on, if it does.

    What learners build stands on the name for people, and another checkout may move that at any time.
    """
    for base in engine.connect().images.list(name=f"{PREFIX}base"):
        beneath = base.attrs["RootFS"]["Layers"]
        if list(layers[: len(beneath)]) == beneath:
            return base
    return None


def short_name(name: str) -> str:
    """An image's name as we write it: Podman puts the registry before it."""
    return name.removeprefix("docker.io/")


def remove_unused(image_id: str) -> None:
    """Remove an image that a newer one has replaced, unless something still uses it or has given it a name."""
    client = engine.connect()
    try:
        if not client.images.get(image_id).tags:
            client.images.remove(image_id)
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):  # gone already, or in use
            raise


def proxies() -> dict[str, str]:
    """Build arguments that let a build through the proxy that this environment names, if it does."""
    return {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy")}


def extra_certificates() -> list[bytes]:
    """Certificate authorities (PEM) that this machine trusts beyond the public ones, such as a proxy's own.

    Looked for where Debian and Ubuntu keep local ones and in the bundles that the usual environment variables name.
    """
    bundles = [
        Path(os.environ[v])
        for v in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
        if os.environ.get(v)
    ]
    bundles += sorted(Path("/usr/local/share/ca-certificates").rglob("*.crt"))
    block = re.compile(rb"-----BEGIN CERTIFICATE-----\s+(.+?)\s+-----END CERTIFICATE-----", re.DOTALL)

    def certificates(bundle: Path) -> dict[bytes, bytes]:
        return {b"".join(m[1].split()): m[0] + b"\n" for m in block.finditer(bundle.read_bytes())}

    public = certificates(Path(certifi.where()))
    for packaged in Path("/usr/share/ca-certificates").rglob("*.crt"):
        public |= certificates(packaged)
    found = {body: pem for bundle in bundles if bundle.is_file() for body, pem in certificates(bundle).items()}
    return [pem for body, pem in found.items() if body not in public]


@dataclass(frozen=True)
class _Origin:
    image: str
    description: str


@contextmanager
def _origin() -> Iterator[_Origin]:
    """The distribution's root filesystem: from Docker Hub, else from its own packages; unnamed again once built upon."""
    client = engine.connect()
    reference = f"python@{HUB_DIGEST}"
    was_there = _get(reference) is not None
    try:
        print(f"base: asking Docker Hub for {HUB_IMAGE}", file=sys.stderr)
        image = client.images.pull(reference)
        origin = _Origin(image.id, f"Docker Hub, {HUB_IMAGE}@{HUB_DIGEST}")
    except (docker.errors.APIError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = " ".join(str(getattr(error, "explanation", error)).split())
        print(f"base: Docker Hub cannot be used ({reason}): making it from Debian's packages", file=sys.stderr)
        was_there, reference = False, own("origin")
        origin = _from_packages(reference)
    try:
        yield origin
    finally:
        if not was_there:
            client.images.remove(reference, noprune=True)  # its layers live on in the base


def _from_packages(tag: str) -> _Origin:
    """A root filesystem made by mmdebstrap from the packages of Debian, imported as `tag`."""
    if not shutil.which("mmdebstrap"):
        raise BuildError(
            "no base image: Docker Hub cannot be reached and mmdebstrap is not installed",
            "connect to the network, or on Debian and Ubuntu: `sudo apt-get install mmdebstrap debian-archive-keyring`",
        )
    excluded = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
    command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in excluded]
    tarball = paths.scratch() / f"base-{engine.RUN}.tar"
    try:
        with progress.bar("base", total=len(_MMDEBSTRAP_STEPS), unit="step") as bar:
            _mmdebstrap([*command, SUITE, str(tarball)], bar)
        engine.connect().api.import_image_from_file(
            str(tarball), *tag.rsplit(":", 1), changes=[f"LABEL {engine.LABEL}=1"]
        )
    finally:
        tarball.unlink(missing_ok=True)
    return _Origin(tag, f"Debian {SUITE}, its own packages by mmdebstrap")


_MMDEBSTRAP_STEPS = (
    "running apt-get update",
    "downloading packages",
    "extracting archives",
    "installing essential packages",
    "installing remaining packages",
    "cleaning package lists",
    "creating tarball",
)


def _mmdebstrap(command: list[str], bar: progress.tqdm) -> None:
    """Run mmdebstrap, moving `bar` on as its steps begin."""
    environment = os.environ | {"TMPDIR": str(paths.scratch())} | marks.environment()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        lines = []
        try:
            for line in process.stderr:
                lines.append(line.rstrip())
                if step := next((step for step in _MMDEBSTRAP_STEPS if step in line), None):
                    bar.set_postfix_str(step)
                    bar.update()
        except BaseException:  # Ctrl-C: it removes its own folder when it is told to end
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        last = " | ".join(lines[-5:])
        raise BuildError(f"mmdebstrap failed: {last}", "is the Debian mirror reachable? `sudo apt-get update` tells")


def _build(
    name: str, context: Path, labels: dict[str, str], build_args: dict[str, str], extra_files: dict[str, bytes]
) -> None:
    """Build the image by the engine's build call, which every engine version and Podman knows."""
    stream = engine.connect().api.build(
        fileobj=_tar(context, extra_files),
        custom_context=True,
        tag=own(name),
        labels={engine.LABEL: "1"} | labels,
        buildargs=proxies() | build_args,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=_STALLED_S,
    )
    output: list[str] = []
    layer = ""  # the last one made; the ones before it are its parents and go with it
    with progress.bar(name, unit="step") as bar:
        for event in stream:
            if "error" in event:
                if layer:
                    remove_unused(layer)
                tail = " | ".join("".join(output).splitlines()[-5:])
                raise BuildError(
                    f"the image {name} does not build: {event['error'].strip()} ({tail})",
                    f"look at images/{name}/Dockerfile",
                )
            text = event.get("stream", "")
            output.append(text)
            if made := re.match(r" ---> ([0-9a-f]{12,})", text):
                layer = made[1]
            if step := re.match(r"Step (\d+)/(\d+) : (.*)", text):
                bar.total, bar.n = int(step[2]), int(step[1]) - 1
                bar.set_postfix_str(step[3][:50])
        bar.update(bar.total - bar.n if bar.total else 0)


def _parent(name: str) -> str | None:
    """The image of ours that `name`'s Dockerfile builds on."""
    dockerfile = (paths.IMAGES / name / "Dockerfile").read_text()
    found = re.search(rf"^FROM {PREFIX}([\w-]+)", dockerfile, re.MULTILINE)
    return found[1] if found else None


def _context(name: str) -> Path:
    folder = paths.IMAGES / name
    if not (folder / "Dockerfile").is_file():
        raise BuildError(f"there is no image {name!r}", f"one of: {', '.join(names())}")
    return folder


def _get(reference: str) -> Image | None:
    """The image of that name, if there is one."""
    try:
        return engine.connect().images.get(reference)
    except docker.errors.ImageNotFound:
        return None


def _key(context: Path, parent: Built | None) -> str:
    """Hash of everything that an image is made of: its files and its parent, or its origin and this host's authorities."""
    parts = [f"{path.relative_to(context)}\0".encode() + path.read_bytes() for path in _files(context)]
    if parent:
        return short_hash(parent.id.encode(), *parts)
    return short_hash(HUB_DIGEST.encode(), SUITE.encode(), *extra_certificates(), *parts)


def short_hash(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that change when any of `parts` does."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _files(context: Path) -> list[Path]:
    return sorted(p for p in context.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _tar(context: Path, extra_files: dict[str, bytes]) -> io.BytesIO:
    """The build context. Owners, modes and times are fixed, so that the same files always hit the same build cache."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, data: bytes, mode: int) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))

        if context.name == "base":
            folder = tarfile.TarInfo("certificates")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for path in _files(context):
            if str(path.relative_to(context)) in extra_files:
                continue
            add(str(path.relative_to(context)), path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
        for name, data in extra_files.items():
            add(name, data, 0o644)
    buffer.seek(0)
    return buffer


def _built(name: str, image: Image, fresh: bool) -> Built:
    config = image.attrs["Config"]  # newer engines leave out what is empty
    return Built(
        name=name,
        tag=own(name),
        id=image.id,
        environment=dict(variable.split("=", 1) for variable in config.get("Env") or ()),
        command=[*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())],
        working_dir=config.get("WorkingDir") or "/",
        labels=image.labels,
        fresh=fresh,
    )

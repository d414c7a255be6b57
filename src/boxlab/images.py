"""The images that the book builds: where the base comes from, in what order, and how one is built."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import docker.errors
import requests
import urllib3
from docker.models.images import Image as SdkImage

from boxlab import builder, client, engine, marks, paths, progress, turns
from boxlab.errors import BoxlabError, BuildError
from boxlab.language import _, several

PREFIX = "containers-measured/"
"""All our tags begin with it; we never tag with a name that is not ours."""

LAB_PREFIX = f"{PREFIX}lab-"
"""Names of what the labs build. They stay, so that the next check takes unchanged steps from the cache: an image for each
that a lab builds, and with the classic builder one for each stage below it. What a later check replaces is removed."""

PASSING = (f"{PREFIX}rung-", f"{PREFIX}origin-", f"{PREFIX}transfer-", f"{PREFIX}edit-", f"{PREFIX}storage-")
"""How names begin of images that do not outlive what made them."""

HUB_IMAGE = "python:3.13-slim-bookworm"
HUB_DIGEST = "sha256:67a1e1f215ccda113cfc024e8639049257e88f273898f595b61476d128d387e8"
"""The base image on Docker Hub and the digest of its multi-platform index."""

SUITE = "bookworm"
"""The Debian release of that image, from whose packages we make the base where the Hub cannot be reached."""

KEY_LABEL = f"{engine.LABEL}.key"
ORIGIN_LABEL = f"{engine.LABEL}.origin"
CERTIFICATES_LABEL = f"{engine.LABEL}.certificates"
"""Of the base image: hashes of the authorities that were put into it."""


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
    layers: tuple[str, ...] = ()
    """Hashes of its layers' archives, lowest first."""


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


def passing(name: str) -> str:
    """This checkout's name of an image of its own that others do not share, such as a lab's or an experiment's.

    It begins with one of `PASSING`, or of a lab's, so that whatever removes what is left finds it.
    """
    made = f"{PREFIX}{name}-{marks.owner()}"
    assert made.startswith((*PASSING, LAB_PREFIX)), name
    return made


def find(name: str) -> Built | None:
    """The image `name`, if it is there and neither its files nor its parents have changed since; never builds.

    The base must hold the certificate authorities that this machine needs; further ones, of the machine that it was made
    on, do no harm.

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
        current = (image for image in _candidates(name) if image.labels.get(KEY_LABEL) == key)
        image = next((image for image in current if name != "base" or not _lacking(image)), None)
        return _built(name, image, fresh=False) if image else None


def _candidates(name: str) -> Iterator[SdkImage]:
    """The image that has the name for people, which then stays with it; this checkout's own, and those of others."""
    for reference in (PREFIX + name, own(name)):
        if image := _get(reference):
            yield image
    yield from engine.images(name=PREFIX + name)


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
    client.require_proxies()
    with turns.turn(f"images-{short_hash(engine.host().encode())}", _("the images are built")):
        return _adopted(find(name) or _made(name, context, built_on))


def _adopted(built: Built) -> Built:
    """The same image, under this checkout's own name and that for people; what had them before goes, if nothing needs it."""
    with engine.plain_errors():
        for name in (own(built.name), f"{PREFIX}{built.name}:latest"):
            replaced = _get(name)
            if not replaced or replaced.id != built.id:
                repository, _colon, tag = name.rpartition(":")
                engine.connect().api.tag(built.id, repository, tag)
                if replaced and replaced.id:
                    builder.remove_unused(replaced.id)
    return built


def on_own(dockerfile: str) -> str:
    """A Dockerfile's text, building on this checkout's own images: the names for people may be moved at any time."""
    return re.sub(rf"(?m)(^FROM |--from=){PREFIX}([\w-]+)", lambda found: found[1] + own(found[2]), dockerfile)


def _made(name: str, context: Path, built_on: Built | None) -> Built:
    labels = {KEY_LABEL: _key(context, built_on)}
    with engine.plain_errors():
        if name == "base":
            _build_base(context, labels)
        else:
            dockerfile = on_own((context / "Dockerfile").read_text())
            _build(name, context, labels, more={"Dockerfile": dockerfile.encode()})
        return _built(name, engine.connect().images.get(own(name)), fresh=True)


def there() -> dict[str, SdkImage]:
    """The images of the book that this checkout has, or that it would find under the name for people, by name.

    Raises:
        EngineError: the engine does not answer.
    """
    with engine.plain_errors():
        found = {name: _get(own(name)) or _get(PREFIX + name) for name in names()}
    return {name: image for name, image in found.items() if image}


def base_of(layers: Sequence[str]) -> SdkImage | None:
    """The base image, whichever checkout's, that an image with these layers stands on, if it does.

    What learners build stands on the name for people, and another checkout may move that at any time.
    """
    for base in engine.images(name=f"{PREFIX}base"):
        beneath = base.attrs["RootFS"]["Layers"]
        if list(layers[: len(beneath)]) == beneath:
            return base
    return None


def _build_base(context: Path, labels: dict[str, str]) -> None:
    if (there := _get(own("base"))) and (lacking := _lacking(there)):
        again = several(
            "base: made again, with {count} certificate authority that this machine trusts",
            "base: made again, with {count} certificate authorities that this machine trusts",
            lacking,
        )
        print(again, file=sys.stderr)
    authorities = {_fingerprint(pem): pem for pem in extra_certificates()}
    more = {f"certificates/host-{name}.crt": pem for name, pem in authorities.items()}
    with _origin() as origin:
        labels |= {ORIGIN_LABEL: origin.description, CERTIFICATES_LABEL: " ".join(sorted(authorities))}
        _build("base", context, labels, {"ORIGIN": origin.image}, {"certificates": None} | more)


def _lacking(base: SdkImage) -> int:
    """How many certificate authorities that this machine needs are not in the base image."""
    there = base.labels.get(CERTIFICATES_LABEL, "").split()
    return sum(_fingerprint(pem) not in there for pem in extra_certificates())


def _fingerprint(pem: bytes) -> str:
    return short_hash(b"".join(pem.split()))


def short_name(name: str) -> str:
    """An image's name as we write it: Podman puts the registry before it, and `localhost` before what its own command has made.

    To any other engine, `localhost` is a registry like any other.

    Raises:
        EngineError: it matters which engine answers, and none does.
    """
    with engine.plain_errors():
        of_podman = name.startswith("localhost/") and engine.is_podman()
    return name.removeprefix("localhost/" if of_podman else "docker.io/")


def extra_certificates() -> list[bytes]:
    """Certificate authorities (PEM) that this machine trusts beyond the public ones, such as a proxy's own, as far as they can
    be read."""
    block = re.compile(rb"-----BEGIN CERTIFICATE-----\s+(.+?)\s+-----END CERTIFICATE-----", re.DOTALL)

    def certificates(bundle: Path) -> dict[bytes, bytes]:
        return {b"".join(m[1].split()): m[0] + b"\n" for m in block.finditer(_content(bundle) or b"")}

    public = certificates(Path(certifi.where()))
    for packaged in Path("/usr/share/ca-certificates").rglob("*.crt"):
        public |= certificates(packaged)
    found = {body: pem for bundle in _bundles() for body, pem in certificates(bundle).items()}
    return [pem for body, pem in found.items() if body not in public]


def unread_certificates() -> list[Path]:
    """Files that should hold such authorities and cannot be read, since they are not there or only root may."""
    return [bundle for bundle in _bundles() if _content(bundle) is None]


def _content(file: Path) -> bytes | None:
    """What is in a file; nothing if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return None


LOCAL_AUTHORITIES = {
    "/usr/local/share/ca-certificates": {".crt"},
    "/etc/pki/ca-trust/source/anchors": {".crt", ".pem"},
    "/etc/pki/trust/anchors": {".crt", ".pem"},
}
"""Where they lie, and how the names of those that count end."""


def _bundles() -> list[Path]:
    """Files of authorities: those that the usual environment variables name, and where Debian, Fedora and SUSE keep local ones."""
    variables = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
    named = [Path(os.environ[variable]) for variable in variables if os.environ.get(variable)]
    local = [
        path
        for place, ends in LOCAL_AUTHORITIES.items()
        for path in sorted(Path(place).rglob("*"))
        if path.suffix in ends
    ]
    return [*dict.fromkeys(named), *local]


@dataclass(frozen=True)
class _Origin:
    image: str
    description: str


@contextmanager
def _origin() -> Iterator[_Origin]:
    """The distribution's root filesystem: from Docker Hub, else from its own packages; unnamed again once built upon."""
    client = engine.connect()
    reference, named = f"python@{HUB_DIGEST}", passing("origin")
    was_there = _get(reference) is not None
    try:
        print(_("base: asking Docker Hub for {image}", image=HUB_IMAGE), file=sys.stderr)
        for step in client.api.pull(reference, stream=True, decode=True):
            if "error" in step:
                raise docker.errors.APIError(step["error"])
        client.images.get(reference).tag(named)  # BuildKit builds on names alone
        origin = _Origin(named, f"Docker Hub, {HUB_IMAGE}@{HUB_DIGEST}")
    except (docker.errors.APIError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        if engine.FULL.search(str(error)):  # there is no room for Debian's packages either
            raise
        reason = engine.explain(error).args[0]
        instead = _("base: Docker Hub cannot be used ({why}): making it from Debian's packages", why=reason)
        print(instead, file=sys.stderr)
        was_there = True
        origin = _from_packages(named)
    try:
        yield origin
    finally:
        for name in [named] if was_there else [named, reference]:
            client.images.remove(name, noprune=True)  # its layers live on in the base


def _from_packages(tag: str) -> _Origin:
    """A root filesystem made by mmdebstrap from the packages of Debian, imported as `tag`."""
    if not shutil.which("mmdebstrap"):
        raise BuildError(
            _("no base image: Docker Hub cannot be reached and mmdebstrap is not installed"),
            _(
                "connect to the network, or on Debian and Ubuntu: "
                "`sudo apt-get install mmdebstrap debian-archive-keyring`"
            ),
        )
    excluded = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
    apart = ["unshare", "--mount", "--propagation=private"]  # what it mounts ends with it
    may_be = bool(shutil.which(apart[0])) and not subprocess.run([*apart, "true"], capture_output=True).returncode
    command = [
        *(apart if may_be else []),
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates,python3,python3-venv",
    ]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in excluded]
    tarball = paths.scratch() / f"base-{marks.RUN}.tar"
    try:
        with progress.bar("base", total=len(_MMDEBSTRAP_STEPS), unit=_("step")) as bar, _reachable() as folder:
            _mmdebstrap([*command, SUITE, str(tarball)], folder, bar)
        engine.connect().api.import_image_from_file(
            str(tarball), repository=tag, tag="latest", changes=[f"LABEL {engine.LABEL}=1"]
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


@contextmanager
def _reachable() -> Iterator[Path]:
    """Where mmdebstrap can work: without root it is another user by then, who may not go through a home that is closed (mode 0700)."""
    scratch = paths.scratch().resolve()
    if os.getuid() == 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (scratch, *scratch.parents)):
        yield scratch
        return
    with tempfile.TemporaryDirectory(dir=paths.OPEN, prefix=f"{marks.prefix()}{marks.RUN}-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def _mmdebstrap(command: list[str], folder: Path, bar: "progress.Bar") -> None:
    """Run mmdebstrap with its files in a folder, moving `bar` on as its steps begin."""
    environment = os.environ | {"TMPDIR": str(folder)} | marks.environment()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        lines = []
        try:
            assert process.stderr  # a pipe
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
        raise BuildError(
            _("mmdebstrap failed: {why}", why=last), _("is the Debian mirror reachable? `sudo apt-get update` tells")
        )


def _build(
    name: str,
    context: Path,
    labels: dict[str, str],
    arguments: dict[str, str] | None = None,
    more: dict[str, bytes | None] | None = None,
) -> None:
    with builder.staged(context, more, without="__pycache__") as folder, builder.shown(name) as watch:
        built = builder.build(folder, own(name), labels={engine.LABEL: "1"} | labels, arguments=arguments, watch=watch)
    if built.trouble:
        raise unbuilt(name, built, _("look at images/{image}/Dockerfile", image=name))


_UNREACHED = re.compile(
    r"could not connect|unable to connect|connection (?:timed out|refused|reset)|temporary failure|could not resolve"
    r"|name resolution|no such host|network is unreachable|no route to host|i/o timeout|proxyerror|proxy connect"
    r"|bad gateway|service unavailable|proxy authentication|connecttimeout|cannot initiate the connection",
    re.IGNORECASE,
)
"""What apt, pip and the builders print where the network, or a proxy, is in the way."""


def unbuilt(
    name: str, built: builder.Build, otherwise: str = _("look at the line of its Dockerfile that failed")
) -> BoxlabError:
    """What has kept an image from being built, and what mends it: `otherwise` where it is nothing else that we know."""
    lines = [line.strip() for line in built.output.splitlines() if line.strip()]
    if full := next((line for line in lines if engine.FULL.search(line)), None):
        return engine.explain(OSError(full))
    if built.trouble == "late":
        message = _(
            "the image {image} does not build: it printed nothing for {seconds} s after: {line}",
            image=name,
            seconds=builder.SILENT_S,
            line=lines[-1] if lines else _("nothing"),
        )
        return BuildError(message, _("restart the engine, and see whether the network answers"))
    if unreached := next((line for line in lines if _UNREACHED.search(line)), None):
        message = _(
            "the image {image} does not build, as a step did not reach the network: {why}",
            image=name,
            why=unreached[:300],
        )
        return BuildError(message, _network_fix())
    return BuildError(
        _("the image {image} does not build: {why}", image=name, why=" | ".join(lines[-5:])),
        otherwise,
    )


def _network_fix() -> str:
    """What to look at where a build does not reach the network; of a proxy its place alone, never its password."""
    if not (set_to := {k: v for k, v in builder.proxies().items() if k.lower() != "no_proxy" and v}):
        return _("is the network there? a container must reach it, too")
    named = ", ".join(f"{name} ({_place(proxy)})" for name, proxy in set_to.items())
    return _(
        "does the proxy answer, from a container as well? it is set by {variables}; `unset` that where none is needed",
        variables=named,
    )


def _place(proxy: str) -> str:
    """A proxy's host and port."""
    try:
        parts = urlsplit(proxy)
        return f"{parts.hostname or _('no address')}:{parts.port or ''}"
    except ValueError:
        return _("no address")


def _parent(name: str) -> str | None:
    """The image of ours that `name`'s Dockerfile builds on."""
    dockerfile = (paths.IMAGES / name / "Dockerfile").read_text()
    found = re.search(rf"^FROM {PREFIX}([\w-]+)", dockerfile, re.MULTILINE)
    return found[1] if found else None


def _context(name: str) -> Path:
    folder = paths.IMAGES / name
    if not (folder / "Dockerfile").is_file():
        raise BuildError(_("there is no image {name!r}", name=name), _("one of: {names}", names=", ".join(names())))
    return folder


def _get(reference: str) -> SdkImage | None:
    """The image of that name, if there is one."""
    try:
        return engine.connect().images.get(reference)
    except docker.errors.ImageNotFound:
        return None


def _key(context: Path, parent: Built | None) -> str:
    """Hash of everything that an image is made of: its files, and its parent or its origin.

    A parent counts by its own key and its layers: its id is another one on each kind of image store.
    """
    parts = [f"{path.relative_to(context)}\0".encode() + path.read_bytes() for path in _files(context)]
    if parent:
        return short_hash(parent.labels.get(KEY_LABEL, "").encode(), *map(str.encode, parent.layers), *parts)
    return short_hash(HUB_DIGEST.encode(), SUITE.encode(), *parts)


def short_hash(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that change when any of `parts` does."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _files(context: Path) -> list[Path]:
    return sorted(p for p in context.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _built(name: str, image: SdkImage, fresh: bool) -> Built:
    config = image.attrs["Config"]  # newer engines leave out what is empty
    return Built(
        name=name,
        tag=own(name),
        id=image.id or "",
        environment=dict(variable.split("=", 1) for variable in config.get("Env") or ()),
        command=[*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())],
        working_dir=config.get("WorkingDir") or "/",
        labels=image.labels,
        fresh=fresh,
        layers=tuple((image.attrs.get("RootFS") or {}).get("Layers") or ()),
    )

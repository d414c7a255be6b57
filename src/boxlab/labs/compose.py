"""A learner's Compose file, read as `docker compose` does, and refused where what it starts would reach beyond its own folder,
containers, networks and volumes.

What is not known to stay within them is refused, new keys of later versions of Compose as well.
"""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import yaml

from boxlab import engine, images, marks, paths
from boxlab.errors import BoxlabError, EngineError
from boxlab.interrupts import deferred
from boxlab.labs.checks import Mismatch, printed
from boxlab.language import _

FIX = _(
    "install Docker Compose: the package {plugin}, {second} or {first}",
    plugin="docker-compose-plugin",
    second="docker-compose-v2",
    first="docker-compose",
)
ENDS_S = 60
"""How long Compose may take to read a file."""

_MISSING = re.compile("not found|no such file", re.IGNORECASE)

Refusals = Iterator[tuple[str, str]]
"""Key and value of what is refused."""


def read(folder: Path, project: str, name: str = "compose.yaml") -> dict[str, Any]:
    """The model of a Compose file as `docker compose config --format json` has it, with all profiles.

    What is started should be this model, not the file: that may read otherwise the next time.

    Args:
        folder: where it lies, and which it may use.
        project: the project's name, whatever the file says.

    Raises:
        Mismatch: it is no Compose file, or would reach beyond; a line for each service and key.
        BoxlabError: Compose is missing or does not end.
    """
    _refuse(_Sources(folder).of(folder / name))
    if _compose(folder, "version").returncode:
        raise BoxlabError(_("Docker Compose is missing"), FIX)
    asked = ["--file", name, "--project-name", project, "--profile", "*", "config", "--format", "json"]
    ran = _compose(folder, *asked)
    if ran.returncode:
        raise Mismatch(
            _("`docker compose config` reads {file}", file=name),
            printed(ran.stderr),
            _("what Compose does not understand, it does not start"),
            _("only what the task names is handed in: what another file holds, {file} has to say itself", file=name)
            if _MISSING.search(ran.stderr)
            else _("mend the line; `docker compose --file {file} config` in your folder says the same", file=name),
        )
    model: dict[str, Any] = json.loads(ran.stdout)
    _refuse(_Model(folder).of(model))
    return model


def _compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` without this process's environment, which a file may ask for, and without the engine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    try:
        return subprocess.run(
            ["docker", "compose", *arguments],
            cwd=folder,
            env=kept | {"DOCKER_CONFIG": engine.docker_call()[1]["DOCKER_CONFIG"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ENDS_S,
        )
    except FileNotFoundError as error:
        raise BoxlabError(
            _("the {command} command is missing", command="docker"), _("install Docker's command line, with Compose")
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BoxlabError(
            _("`docker compose` does not end within {seconds} s", seconds=ENDS_S), _("check again")
        ) from error


def _refuse(refusals: Refusals) -> None:
    """Raise one mismatch of all that is refused, if anything is."""
    if lines := list(dict.fromkeys(f"{where}: {value}" for where, value in refusals)):
        raise Mismatch(
            _("the Compose file keeps to its own folder, containers, networks and volumes"),
            "\n".join(lines),
            _(
                "who starts a Compose file gives it what it asks for: with the folders, devices, namespaces or capabilities "
                "of the machine, a container is no boundary any more"
            ),
            _("leave out what is named here, or let it lie in your folder"),
        )


class _Loader(yaml.SafeLoader):
    """YAML with the tags of Compose, `!reset` and `!override`, which change nothing here."""


def _untagged(loader: _Loader, suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


_Loader.add_multi_constructor("!", _untagged)


class _Sources:
    """The files that a Compose file is made of, which Compose reads and no longer names."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._seen: set[Path] = set()

    def of(self, path: Path) -> Refusals:
        """What of them lies elsewhere."""
        if path in self._seen or not os.path.isfile(path):  # Compose says that it is missing, or that this is no name
            return
        self._seen.add(path)
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        except (yaml.YAMLError, ValueError, RecursionError):
            return  # Compose, which reads no other file of it either, says what is wrong
        except Exception as error:  # PyYAML's own, of a value that its tag does not fit; Compose may be less strict
            raise Mismatch(
                _("`docker compose config` reads {file}", file=path.name),
                printed(repr(error)),
                _("what Compose does not understand, it does not start"),
                _("leave out the tag (`!!`) of that value"),
            ) from error
        data = data if isinstance(data, dict) else {}
        for part in _listed(data.get("include")):
            part = part if isinstance(part, dict) else {"path": part}
            for name in ("path", "project_directory", "env_file"):
                yield from self._each(f"include.{name}", part.get(name), path, name == "path")
        services = data.get("services")
        for service, settings in services.items() if isinstance(services, dict) else ():
            if isinstance(settings, dict):
                extends = settings.get("extends")
                file = extends.get("file") if isinstance(extends, dict) else None
                yield from self._each(f"{service}.extends", file, path, True)
                for name in ("env_file", "label_file"):
                    yield from self._each(f"{service}.{name}", settings.get(name), path, False)

    def _each(self, where: str, values: object, of: Path, follow: bool) -> Refusals:
        for value in _listed(values):
            value = value.get("path") if isinstance(value, dict) else value
            if not isinstance(value, str):
                continue
            if re.search(r"\$|://|^~|^/|(^|[/\\])\.\.([/\\]|$)|^git@|^[A-Za-z]:", value) or not _inside(
                self._folder, of.parent / value
            ):
                yield where, value
            elif follow:
                yield from self.of(of.parent / value)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _inside(folder: Path, path: object) -> bool:
    """Whether a path lies in a folder, wherever its links lead."""
    whole = Path(str(path))
    return "\0" not in str(path) and whole.is_absolute() and whole.resolve().is_relative_to(folder.resolve())


FREE = set(
    "annotations attach cap_drop command configs container_name cpu_count cpu_percent cpu_period cpu_quota cpu_shares cpus cpuset depends_on dns "
    "dns_opt dns_search domainname entrypoint environment expose extra_hosts group_add healthcheck hostname image init labels "
    "links mem_limit mem_reservation mem_swappiness memswap_limit networks pids_limit platform ports profiles pull_policy "
    "read_only restart scale secrets shm_size stdin_open stop_grace_period stop_signal tmpfs tty ulimits user working_dir".split()
)
"""Keys of a service that reach nothing but its own container and project."""

BUILD_FREE = set(
    "args dockerfile_inline extra_hosts labels no_cache platforms provenance pull sbom secrets shm_size target ulimits".split()
)

USUAL = set(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split()
)
"""The capabilities that a container has anyway, where nobody drops them."""

MOST = 16
"""How many services are started: each is held by itself."""

NAMED = ("labels", "name")
"""Keys of what a service uses that reach nothing: `Project` gives names of its own."""

OWN = re.compile(r"service:.+|private|shareable|none|")
"""Namespaces of its own, or of another service of the file."""


class _Model:
    """What Compose has made of the files."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._services: dict[str, Callable[[Any], Iterator[object]]] = {
            "build": self._build,
            "cap_add": lambda value: (each for each in value if each.upper().removeprefix("CAP_") not in USUAL),
            "cgroup": self._namespace,
            "deploy": self._deploy,
            "develop": self._develop,
            "ipc": self._namespace,
            "logging": lambda value: _unless(value, value.get("driver") in (None, "json-file", "local", "none")),
            "network_mode": lambda value: _unless(value, value == "bridge" or bool(OWN.fullmatch(value))),
            "pid": self._namespace,
            "post_start": self._hooks,
            "pre_stop": self._hooks,
            "security_opt": lambda value: (o for o in value if not re.fullmatch("no-new-privileges([:=]true)?", o)),
            "volumes": self._mounts,
            "volumes_from": lambda value: (each for each in value if each.startswith("container:")),
        }

    def of(self, model: dict[str, Any]) -> Refusals:
        """What in it reaches beyond."""
        kinds = {"configs": self._file, "secrets": self._file, "networks": self._network, "volumes": self._volume}
        for key, value in _said(model):
            if key in kinds:
                for name, settings in value.items():
                    for inner, refused in kinds[key](settings or {}):
                        yield f"{key}.{name}.{inner}", _short(refused)
            elif key == "services":
                if len(value) > MOST:
                    yield key, _("{count} of them, and at most {most} are started", count=len(value), most=MOST)
                for name, settings in value.items():
                    for inner, refused in self._service(settings):
                        yield f"{name}.{inner}", _short(refused)
            elif key not in ("name", "version"):
                yield key, _short(value)

    def _service(self, settings: dict[str, Any]) -> Iterator[tuple[str, object]]:
        if settings.get("build") and settings.get("image"):
            yield "image", _("{image}, a name that others may have, for what is built", image=settings["image"])
        for key, value in _said(settings):
            if key in self._services:
                yield from ((key, refused) for refused in self._services[key](value))
            elif key not in FREE:
                yield key, value

    def _namespace(self, value: str) -> Iterator[object]:
        return _unless(value, bool(OWN.fullmatch(value)))

    def _mounts(self, mounts: list[dict[str, Any]]) -> Iterator[object]:
        for mount in mounts:
            kind, source = mount.get("type"), mount.get("source")
            held = kind == "bind" and _inside(self._folder, source) and _plain(mount.get("bind"))
            if not (held or kind in ("tmpfs", "volume")):
                yield mount

    def _build(self, build: dict[str, Any]) -> Iterator[object]:
        for key, value in _said(build):
            if key == "context":
                held = _inside(self._folder, value)
            elif key == "dockerfile":
                held = _inside(self._folder, Path(build.get("context", self._folder), value))
            elif key == "additional_contexts":
                held = all(_inside(self._folder, each) or each.startswith("service:") for each in value.values())
            elif key == "network":
                held = value in ("none", "default")
            else:
                held = key in BUILD_FREE
            if not held:
                yield {key: value}

    def _deploy(self, deploy: dict[str, Any]) -> Iterator[object]:
        reserved = deploy.get("resources", {}).get("reservations", {})
        return ({key: reserved[key]} for key in ("devices", "generic_resources") if reserved.get(key))

    def _develop(self, develop: dict[str, Any]) -> Iterator[object]:
        return (each for each in develop.get("watch") or () if not _inside(self._folder, each.get("path")))

    def _hooks(self, hooks: list[dict[str, Any]]) -> Iterator[object]:
        return (hook for hook in hooks if hook.get("privileged"))

    def _file(self, settings: dict[str, Any]) -> Iterator[tuple[str, object]]:
        for key, value in _said(settings):
            held = key == "content" or (key == "file" and _inside(self._folder, value))
            if not (held or key in NAMED):
                yield key, value

    def _network(self, settings: dict[str, Any]) -> Iterator[tuple[str, object]]:
        for key, value in _said(settings):
            held = key in ("attachable", "enable_ipv4", "enable_ipv6", "internal") or (
                key == "driver" and value == "bridge"
            )
            held = held or (key == "ipam" and value.get("driver") in (None, "default") and not value.get("options"))
            if not (held or key in NAMED):
                yield key, value

    def _volume(self, settings: dict[str, Any]) -> Iterator[tuple[str, object]]:
        for key, value in _said(settings):
            if not ((key == "driver" and value == "local") or key in NAMED):
                yield key, value


def _said(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What settings say: without what is empty or false, and without extensions, which mean nothing to Compose."""
    return ((key, value) for key, value in settings.items() if value and not key.startswith("x-"))


def _unless(value: object, held: bool) -> Iterator[object]:
    return iter(() if held else (value,))


def _plain(bind: dict[str, Any] | None) -> bool:
    """Whether a bind mount has no options but that its folder may be made, and labeled."""
    return not (bind or {}).keys() - {"create_host_path", "selinux"}


def _short(value: object) -> str:
    """A value on one line."""
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(text.split())[:200]


def _binds(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The mounts of what lies in the folder."""
    services = model["services"].values()
    return [mount for service in services for mount in service.get("volumes") or () if mount.get("type") == "bind"]


def _used(model: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Key and path of what a model lays into containers, or builds."""
    for mount in _binds(model):
        yield "volumes", Path(mount["source"])
    for kind in ("configs", "secrets"):
        for settings in (model.get(kind) or {}).values():
            if file := (settings or {}).get("file"):
                yield kind, Path(file)
    for service in model["services"].values():
        if context := (service.get("build") or {}).get("context"):
            yield "build", Path(context)


class Project:
    """What a model describes, in containers, networks and volumes of this run's own.

    Attributes:
        name: by which Compose knows it.
    """

    HELD: dict[str, Any] = {"mem_limit": "256m", "memswap_limit": "256m", "pids_limit": 128, "cpus": 1}
    """How each container is held, whatever the file says."""

    DROPPED = "ports cpu_count cpu_percent cpu_period cpu_quota deploy logging mem_reservation scale".split()
    """What another may have, what might contradict how it is held, and where its log goes, which is read here. A container's name becomes an
    alias on its networks."""

    def __init__(self, model: dict[str, Any], folder: Path):
        labels = engine.labels()
        self.name = model["name"]
        for kind in ("networks", "volumes"):
            for name, settings in (model.get(kind) or {}).items():
                settings["labels"] = settings.get("labels", {}) | labels
                settings["name"] = f"{self.name}_{name}"
        for service in model["services"].values():
            service["labels"] = service.get("labels", {}) | labels
            for key in self.DROPPED:
                service.pop(key, None)
            if service.get("network_mode") == "bridge":  # it leads to the internet, and has no names
                service["network_mode"] = "none"
            if name := service.pop("container_name", ""):  # which others find it by
                for network, settings in (service.get("networks") or {}).items():
                    aliases = [*(settings or {}).get("aliases", ()), name]
                    service["networks"][network] = (settings or {}) | {"aliases": aliases}
            health = service.get("healthcheck") or {}
            if "start_interval" in health and not engine.knows_start_interval():
                del health["start_interval"]
            # With an init, a service without a handler of SIGTERM ends when it is told, and is not waited for.
            service |= self.HELD | {"security_opt": ["no-new-privileges:true"], "init": True}
        for network in (model.get("networks") or {}).values():
            network["internal"] = True
        for mount in _binds(model):  # or a container might put a link where another's begins, which the engine follows
            mount["read_only"] = mount.get("read_only", False) or any(
                Path(mount["source"]).resolve() in path.resolve().parents for _key, path in _used(model)
            )
        self._model, self._folder = model, folder
        self._volumes: set[str] = set()
        self._folders: set[str] = set()
        self._path = paths.scratch() / f"{self.name}-{marks.RUN}.json"
        self._path.write_text(json.dumps(model), encoding="utf-8")
        self._call = ["compose", "--progress", "quiet", "--project-name", self.name, "--file", str(self._path)]
        self._call += ["--project-directory", str(folder)]

    def up(self, seconds: float) -> str:
        """Start it as `docker compose up --wait` does; returns what Compose says where it fails, or that it goes on.

        Raises:
            Mismatch: what it has run has put a link that leads out of the folder where a mount begins.
            EngineError: there is no docker command, or it does not run.
        """
        _refuse((key, str(path)) for key, path in _used(self._model) if not _inside(self._folder, path))
        try:
            ran = engine.docker_command(*self._call, "up", "--detach", "--wait", "--pull", "never", seconds=seconds)
        except EngineError as error:
            if isinstance(error.__cause__, subprocess.TimeoutExpired):
                return _("`docker compose up --wait` has not ended within {seconds:g} s", seconds=seconds)
            raise
        if ran.returncode and "Pool overlaps" in ran.stderr:
            raise BoxlabError(
                _("another network has the addresses that the file asks for"),
                _("`docker compose down` in your folder, and check again"),
            )
        return ran.stderr.strip() or str(ran.returncode) if ran.returncode else ""

    def down(self, volumes: bool = False) -> None:
        """Remove its containers and networks, as `docker compose down` does.

        Raises:
            BoxlabError: they are not removed.
        """
        for box in self.containers().values():
            self._volumes |= {mount["Name"] for mount in box["Mounts"] if mount["Type"] == "volume"}
            self._folders |= {mount["Source"] for mount in box["Mounts"] if mount["Type"] == "bind"}
        # What loses its data is not asked to save it.
        options = ["--timeout", "0", "--volumes"] if volumes else ["--timeout", "5"]
        ran = engine.docker_command(*self._call, "down", *options)
        if ran.returncode:
            raise BoxlabError(ran.stderr.strip(), _("check again"))

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of its containers, by service.

        Raises:
            EngineError: the engine does not answer.
        """
        with engine.plain_errors():
            found = engine.connect().containers.list(
                all=True, filters={"label": f"com.docker.compose.project={self.name}"}
            )
        return {box.labels["com.docker.compose.service"]: box.attrs for box in found}

    def printed(self, service: str) -> str:
        """What a service has printed."""
        return engine.docker_command(*self._call, "logs", "--no-log-prefix", service).stdout

    def _open_folders(self) -> None:
        """Let whoever runs this remove what containers have written into folders, as users that own it now."""
        for folder in sorted(self._folders):
            if not (os.path.isdir(folder) and _inside(self._folder, folder)):
                continue
            with engine.plain_errors(), deferred():
                engine.connect().containers.run(
                    f"{images.PREFIX}base",
                    ["chmod", "-R", "a+rwX", "/folder"],
                    volumes=[f"{folder}:/folder"],
                    network_mode="none",
                    labels=engine.labels(),
                    remove=True,
                )

    def remove(self) -> None:
        """Remove all of it, volumes too, those without a name of their own as well, and the model."""
        try:
            self.down(volumes=True)
            self._open_folders()
            with engine.plain_errors():
                for volume in self._volumes:
                    with contextlib.suppress(docker.errors.NotFound):
                        engine.connect().volumes.get(volume).remove()
        finally:
            self._path.unlink(missing_ok=True)

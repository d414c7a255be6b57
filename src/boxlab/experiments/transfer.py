"""What travels to a registry, and from it, after an edit of one line? One program, its layers in several orders."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Unpack

from boxlab import builder, engine, images, marks, records
from boxlab.errors import EngineError
from boxlab.experiments import blocks
from boxlab.experiments.dockerfile import built, workplace
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer
from boxlab.second_engine import SecondEngine

PORT = 5000

RELAY = """
import json, socket, subprocess, sys, threading, time
subprocess.Popen(["docker-registry", "serve", "/etc/docker/registry/config.yml"], stdin=subprocess.DEVNULL,
                 stderr=subprocess.DEVNULL, env={"REGISTRY_HTTP_ADDR": "127.0.0.1:5001", "PATH": "/usr/bin"})
lock, moved = threading.Lock(), {"pushed": 0, "pulled": 0}

def pump(source, target, way):
    try:
        while data := source.recv(1 << 16):
            with lock:
                moved[way] += len(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one end has hung up

def serve():
    while True:
        near = server.accept()[0]
        far = socket.create_connection(("127.0.0.1", 5001))
        for ends in ((near, far, "pushed"), (far, near, "pulled")):
            threading.Thread(target=pump, args=ends, daemon=True).start()

server = socket.create_server(("", 5000))
while True:
    try:
        socket.create_connection(("127.0.0.1", 5001)).close()
        break
    except OSError:
        time.sleep(0.05)
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    with lock:
        print("moved", json.dumps(moved), flush=True)
        moved.update(pushed=0, pulled=0)
"""
"""A registry, and before it a relay that counts what goes through. A line of input: it prints what went since the last."""

READY_S = 60
"""How long the registry may take to come up, or to answer."""

BULK_MIB = 8
"""Size of what an image holds beside its program, which no compression makes smaller."""

BULK = (
    f"RUN python3 -c \"from random import Random; open('packages', 'wb').write(Random(1).randbytes({BULK_MIB << 20}))\""
)
"""Stands for the installation of packages: the same bytes each time it runs, in files that are new."""

DOCKERFILES = {
    "code-last": (BULK, "COPY app.py ."),
    "code-first": ("COPY app.py .", BULK),
    "data-last": ("COPY app.py .", "COPY data ."),
    "one-copy": ("COPY . .",),
}
"""What stands after FROM."""

ARMS = {
    "code-last": _("install, then copy the code"),
    "code-first": _("copy the code, then install"),
    "data-last": _("copy the code, then the data"),
    "one-copy": _("copy code and data in one line"),
}

METRICS: dict[str, dict[str, Any]] = {
    "push": {"unit": "B", "label": _("sent by a push after an edit of one line")},
    "pull": {"unit": "B", "label": _("received by a pull after the edit")},
}

MEASURES = (
    "One line of the program is edited, and the image is built from the engine's cache. push: bytes that a relay before the registry "
    "then takes from the engine. pull: bytes that it gives to a second engine, which has the version before. Both with all of "
    f"HTTP, without TLS. Beside its program, the image holds {BULK_MIB} MiB that cannot be compressed. The first round, with all "
    "layers, is discarded."
)


@dataclass(frozen=True)
class _Registry:
    """A registry that counts.

    Attributes:
        near: its address for the engine of this book, which takes `localhost` without TLS.
        far: its address for a second engine.
        network: on which that is.
    """

    near: str
    far: str
    network: str
    console: Console
    box: EngineContainer

    def moved(self) -> dict[str, int]:
        """Bytes pushed and pulled since the last call.

        Raises:
            NotReady: it does not answer.
        """
        self.box.send(b"\n")
        pushed, pulled = self.console.next(r"moved (.*\d)", READY_S).strip("{}").split(", ")
        return {"push": int(pushed.split()[-1]), "pull": int(pulled.split()[-1])}


def transfer(**options: Unpack[blocks.Options]) -> records.Record:
    """Edit one line, push and pull, for each order of the layers. Arguments as for `startup`.

    Raises:
        BuildError: an image does not build.
        EngineError: an engine does not answer, or cannot push or pull.
    """
    images.ensure("base")
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        _lay_out(folder)
        registry = stack.enter_context(_registry())
        settings = {"insecure-registries": [registry.far]}
        second = stack.enter_context(SecondEngine(network=registry.network, settings=settings))

        def measure(record: records.Record, sample: records.Sample) -> None:
            name = f"{sample.arm}:latest"
            tag = _build(folder / sample.arm, sample.arm, f"{marks.RUN}-{sample.round}")
            registry.moved()
            _push(tag, f"{registry.near}/{name}")
            sample.values["push"] = registry.moved()["push"]
            second.docker("pull", "--quiet", f"{registry.far}/{name}")
            sample.values["pull"] = registry.moved()["pull"]

        return blocks.run(
            "transfer",
            [
                {
                    "kind": kind,
                    "emulated": False,
                    "phases": {},
                    "details": {
                        "dockerfile": list(lines),
                        "bulk_mib": BULK_MIB,
                        "builder": builder.chosen(),
                        "pulled_by": second.version,
                    },
                }
                for kind, lines in DOCKERFILES.items()
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady,
            **options,
        )


def _lay_out(folder: Path) -> None:
    """A context for each arm."""
    for kind, lines in DOCKERFILES.items():
        (folder / kind).mkdir()
        (folder / kind / "Dockerfile").write_text("\n".join([f"FROM {images.own('base')}", "WORKDIR /app", *lines]))
        (folder / kind / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
        if "data" in kind or kind == "one-copy":
            (folder / kind / "data").write_bytes(Random(2).randbytes(BULK_MIB << 20))


@contextmanager
def _registry() -> Iterator[_Registry]:
    """A registry with a network of its own; both are gone afterwards."""
    image = images.ensure("registry").tag
    network = box = None
    try:
        with engine.plain_errors(), deferred():  # or Ctrl-C might strike when it exists and we do not know of it yet
            name = images.passing("transfer").replace("/", "-")
            network = engine.connect().networks.create(name, labels=engine.labels())
        box = EngineContainer(
            image, ["python3", "-c", RELAY], network_mode=network.name, port_bindings={PORT: ("127.0.0.1", None)}
        )
        console = Console(box, {"ready": "^ready"}, time.monotonic())
        console.wait_for("ready", READY_S)
        facts = box.inspect()["NetworkSettings"]
        [published] = facts["Ports"][f"{PORT}/tcp"]
        yield _Registry(
            f"localhost:{published['HostPort']}",
            f"{facts['Networks'][network.name]['IPAddress']}:{PORT}",
            str(network.name),
            console,
            box,
        )
    finally:
        if box:
            box.stop(grace_s=0)
        if network:
            with engine.plain_errors():
                network.remove()


def _build(folder: Path, kind: str, version: str) -> str:
    """The tag of an arm's image, with that version of the program.

    Raises:
        BuildError: it does not build.
    """
    (folder / "app.py").write_text(f'print("version {version}")\n')
    builder.settle(folder)
    tag = images.passing(f"transfer-{kind}")
    built(folder, tag)
    return tag


def _push(tag: str, name: str) -> None:
    """Push an image under another name, which it loses again.

    Raises:
        EngineError: the engine or the registry refuses.
    """
    repository, _colon, version = name.rpartition(":")
    api = engine.connect().api
    with engine.plain_errors():
        api.tag(tag, repository, version)
        try:
            for step in api.push(repository, version, stream=True, decode=True):
                if "error" in step:
                    raise EngineError(_("the push to {name} failed: {why}", name=name, why=step["error"]))
        finally:
            api.remove_image(name, noprune=True)

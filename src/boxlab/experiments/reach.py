"""What does each way to a server in a container cost? One server and one client, with less or more network between them."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Unpack

import docker.errors

from boxlab import engine, images, marks, records
from boxlab.errors import EngineError, NotReady
from boxlab.experiments import blocks
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer, HostProcess

PORT = 8000

BULK_MIB = 256
"""How much the server sends in one piece."""

ROUND_TRIPS, CONNECTIONS = 1000, 100
"""How many of each are timed; their median counts."""

READY_S = 300
"""How long the server may take to listen, and the client to be done."""

SERVER = f"""
import socket, sys, threading

def serve(link):
    with link:
        while asked := link.recv(1):
            if asked == b"b":
                for _ in range({BULK_MIB}):
                    link.sendall(block)
            else:
                link.sendall(asked)

block = bytes(1 << 20)
server = socket.create_server(("", int(sys.argv[1])), backlog=512)
print("ready", server.getsockname()[1], flush=True)
while True:
    link = server.accept()[0]
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=serve, args=[link], daemon=True).start()
"""
"""Sends back each byte that it gets; asked for b, it sends much in one piece."""

CLIENT = f"""
import json, socket, statistics, sys, time

def connect():
    link = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout={READY_S})
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link

def trip(link):
    link.sendall(b"p")
    if link.recv(1) != b"p":
        sys.exit("the server has hung up")

def clocked(work, *given):
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began

def anew():
    with connect() as link:
        trip(link)

def bulk(link):
    link.sendall(b"b")
    left = {BULK_MIB} << 20
    while left:
        got = len(link.recv(1 << 20))
        if not got:
            sys.exit("the server has hung up")
        left -= got

anew()
with connect() as link:
    trips = [clocked(trip, link) for _ in range({ROUND_TRIPS})]
    values = {{"trip": statistics.median(trips), "bulk": clocked(bulk, link)}}
values["connect"] = statistics.median(clocked(anew) for _ in range({CONNECTIONS}))
print("done", json.dumps(values), flush=True)
"""

ARMS = {
    "inside": _("in one container, localhost"),
    "host": _("host to --network host"),
    "bridge": _("container to container"),
    "name": _("the same, by name"),
    "address": _("host to a port, by NAT"),
    "published": _("host to a port, localhost"),
}

METRICS = {
    "trip": {"unit": "s", "label": _("a byte there and back")},
    "connect": {"unit": "s", "label": _("connect, and a byte there and back")},
    "bulk": {"unit": "s", "label": _("receive {size} MiB", size=BULK_MIB)},
}

MEASURES = (
    "A server in a new container and a client, each a program in Python, over TCP without delay (TCP_NODELAY). trip: one byte "
    f"there and back on an open connection, the median of {ROUND_TRIPS}. connect: the same on a connection that is opened for "
    f"it and closed, the median of {CONNECTIONS}. bulk: the time to receive {BULK_MIB} MiB on one connection. The client is in "
    "the server's container (inside), in another one on the same network, which is not the default one, by the server's address "
    "(bridge) or by its name, which is looked up for each connection (name), or on the host. There it asks a server that has the host's network (host), the port as published at "
    "127.0.0.1 (published), or as published at the address that the host has on the server's network (address). The client's "
    "Python on the host may be another than the container's."
)


def reach(**options: Unpack[blocks.Options]) -> records.Record:
    """Ask a server in each way. Arguments as for `startup`.

    A way that this engine does not have, such as the host's network where the engine is in a virtual machine, has failures.

    Raises:
        EngineError: the engine does not answer.
    """
    image = images.ensure("base").tag
    with _network() as (network, gateway):

        def measure(record: records.Record, sample: records.Sample) -> None:
            try:
                sample.values |= _asked(image, sample.arm, network, gateway)
            except EngineError as error:
                engine.ping()  # one that has gone ends the run; one that answers has refused this way alone
                raise NotReady(str(error)) from error

        return blocks.run(
            "reach",
            [
                {"kind": kind, "emulated": False, "phases": {}, "details": {"python_on_host": sys.version.split()[0]}}
                for kind in ARMS
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady,
            **options,
        )


@contextmanager
def _network() -> Iterator[tuple[str, str]]:
    """A network of its own, gone afterwards: its name, and the address that the host has on it."""
    network = None
    try:
        with engine.plain_errors():
            with deferred():  # or Ctrl-C might strike when it exists and we do not know of it yet
                network = engine.connect().networks.create(f"reach-{marks.RUN}", labels=engine.labels())
            network.reload()
        # an engine may give it addresses of IPv6 as well
        gateway = next(part["Gateway"] for part in network.attrs["IPAM"]["Config"] if ":" not in part["Subnet"])
        yield str(network.name), gateway
    finally:
        if network:
            with engine.plain_errors(), suppress(docker.errors.NotFound):
                network.remove()


def _asked(image: str, kind: str, network: str, gateway: str) -> dict[str, float]:
    """Start a server, ask it in one way, and say how long that took, in seconds.

    Raises:
        NotReady: it cannot be reached that way.
    """
    settings: dict[str, dict[str, Any]] = {
        "inside": {"network_mode": network},
        "host": {"network_mode": "host"},
        "bridge": {"network_mode": network},
        "name": {"network_mode": network},
        "address": {"network_mode": network, "port_bindings": {PORT: (gateway, None)}},
        "published": {"network_mode": network, "port_bindings": {PORT: ("127.0.0.1", None)}},
    }
    port = 0 if kind == "host" else PORT
    with ExitStack() as stack:
        server = EngineContainer(image, ["python3", "-c", SERVER, str(port)], **settings[kind])
        stack.callback(server.stop, grace_s=0)
        listens = Console(server, {"ready": r"^ready (\d+)"}, time.monotonic()).wait_for("ready", READY_S)
        address = ["127.0.0.1", listens]
        client: EngineContainer | HostProcess
        if kind in ("inside", "bridge", "name"):
            if kind == "name":
                address[0] = server.id[:12]
            elif kind == "bridge":
                address[0] = server.inspect()["NetworkSettings"]["Networks"][network]["IPAddress"]
            mode = f"container:{server.id}" if kind == "inside" else network
            client = EngineContainer(image, ["python3", "-c", CLIENT, *address], network_mode=mode)
        else:
            if kind != "host":
                [published] = server.inspect()["NetworkSettings"]["Ports"][f"{PORT}/tcp"]
                address = [published["HostIp"], published["HostPort"]]
            client = HostProcess([sys.executable, "-c", CLIENT, *address], {})
        stack.callback(client.stop, grace_s=0)
        values: dict[str, float] = json.loads(Console(client, {}, time.monotonic()).next(r"^done (.*)", READY_S))
        return values

"""`docker compose up` of a service and its database, which takes its time: how many of the first requests fail, by what waits for what."""

import http.client
import json
import time
from contextlib import closing, suppress
from typing import Any, Unpack

from docker.models.containers import Container

from boxlab import engine, images, marks, paths, records
from boxlab.errors import NotReady, Unavailable
from boxlab.experiments import blocks
from boxlab.interrupts import deferred
from boxlab.language import _

DELAY_S = 1
"""How much later than usual the database takes connections, as one that has much to recover."""

ROUNDS = {"quick": 6, "class": 15, "paper": 50}
"""How many a profile means here: a start takes seconds, and how many requests fail varies from one to the next."""

EVERY_S, ENOUGH_S = 0.1, 300
"""How often the service is asked, and how long it may take to answer well."""

ARMS = {
    "order": _("order alone"),
    "exits": _("order, ends and restarts"),
    "healthy": _("service_healthy"),
    "wait": _("service_healthy, up --wait"),
}

METRICS = {
    "seconds": {"unit": "s", "label": _("from docker compose up to the first good answer")},
    "unanswered": {"unit": "1", "label": _("requests that failed before the first good answer")},
    "returned": {"unit": "s", "label": _("until docker compose up came back")},
    "restarts": {"unit": "1", "label": _("restarts of the service")},
}

MEASURES = (
    "t0: `docker compose up --detach` is called; the database's volume was initialised before. Once that has come back, the "
    f"service is asked through its published port every {EVERY_S} s. t1: its first answer with status 200. Every request before "
    f"that one counts as failed. The database begins {DELAY_S} s later than it could."
)

SERVICE = """
import http.server, sys, psycopg

def ask():
    with psycopg.connect("host=db user=postgres password=example connect_timeout=2") as link:
        link.execute("SELECT 1")

class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            ask()
            status = 200
        except psycopg.Error:
            status = 500
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass

if "exits" in sys.argv:
    ask()
http.server.ThreadingHTTPServer(("", 8000), Service).serve_forever()
"""
"""Asks the database for each answer, and with the word `exits` once before it listens, where it ends if that fails."""

CHECK = "import urllib.request; urllib.request.urlopen('http://localhost:8000', timeout=2)"
OFTEN = {"interval": "250ms", "timeout": "5s", "retries": 240}


def waits(**options: Unpack[blocks.Options]) -> records.Record:
    """Start the service and its database in each way, and ask until it answers. Arguments as for `startup`.

    Raises:
        Unavailable: Docker Compose is missing, or the engine is on another machine.
        EngineError: the engine does not answer.
    """
    engine.connect()
    engine.require_ports_here()
    if engine.docker_command("compose", "version").returncode:
        raise Unavailable(_("Docker Compose is missing"), _("`make doctor` says what this machine lacks"))
    web, db = images.ensure("web").tag, images.ensure("postgres").tag
    volume = f"boxlab-waits-{marks.RUN}"

    def measure(record: records.Record, sample: records.Sample) -> None:
        sample.values |= _started(model(sample.arm, web, db, volume), wait=sample.arm == "wait")

    with engine.plain_errors():
        made = engine.connect().volumes.create(volume, labels=engine.labels())
    try:
        _started(model("wait", web, db, volume), wait=True)  # makes the database
        return blocks.run(
            "waits",
            [{"kind": kind, "emulated": False, "phases": {}, "details": {"delay_s": DELAY_S}} for kind in ARMS],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: ROUNDS[profile.name],
            warm_up=0,  # the start above has filled the caches
            **options,
        )
    finally:
        with engine.plain_errors():
            made.remove(force=True)


def model(kind: str, web: str, db: str, volume: str) -> dict[str, Any]:
    """The Compose file of one way to wait.

    Args:
        web, db: images of the service and of the database.
        volume: the database's, which is there already.
    """
    labels = engine.labels()
    service: dict[str, Any] = {
        "image": web,
        "command": ["python3", "-c", SERVICE, *(["exits"] if kind == "exits" else [])],
        "ports": ["127.0.0.1::8000"],
        "depends_on": {"db": {"condition": "service_healthy" if kind in ("healthy", "wait") else "service_started"}},
        "labels": labels,
        "init": True,
    }
    if kind == "exits":
        service["restart"] = "on-failure"
    if kind == "wait":
        service["healthcheck"] = {"test": ["CMD", "python3", "-c", CHECK], **OFTEN}
    database = {
        "image": db,
        "entrypoint": ["sh", "-c", f'sleep {DELAY_S}; exec docker-entrypoint.sh "$$@"', "sh"],
        "command": ["postgres"],
        "environment": {"POSTGRES_PASSWORD": "example"},
        "volumes": ["data:/var/lib/postgresql/data"],
        "healthcheck": {"test": ["CMD", "pg_isready", "--host", "127.0.0.1"], **OFTEN},
        "labels": labels,
    }
    return {
        "services": {"web": service, "db": database},
        "networks": {"default": {"labels": labels}},
        "volumes": {"data": {"external": True, "name": volume}},
    }


def _started(compose: dict[str, Any], wait: bool) -> dict[str, float]:
    """Bring it up, ask until it answers, and take it down.

    Raises:
        NotReady: it does not come up, or gives no good answer.
    """
    project = f"boxlab-waits-{marks.RUN}"
    path = paths.scratch() / f"{project}.json"
    path.write_text(json.dumps(compose))
    call = ["compose", "--project-name", project, "--file", str(path)]
    try:
        began = time.monotonic()
        up = engine.docker_command(*call, "up", "--detach", *(["--wait"] if wait else []))
        returned = time.monotonic() - began
        if up.returncode:
            raise NotReady((up.stderr.strip() or _("it ends without a word")).splitlines()[-1])
        with engine.plain_errors():
            [web] = engine.connect().containers.list(
                all=True,
                filters={"label": [f"com.docker.compose.project={project}", "com.docker.compose.service=web"]},
            )
        failed = 0
        while not _answers(web):
            failed += 1
            if time.monotonic() - began > ENOUGH_S:
                raise NotReady(_("no good answer within {seconds} s", seconds=ENOUGH_S))
            time.sleep(EVERY_S)
        took = time.monotonic() - began
        return {"unanswered": failed, "seconds": took, "returned": returned, "restarts": web.attrs["RestartCount"]}
    finally:
        with deferred():
            engine.docker_command(*call, "down", "--timeout", "5")
            path.unlink()


def _answers(web: Container) -> bool:
    """Whether the service answers, and well. A restart gives it another port."""
    with engine.plain_errors():
        web.reload()
    published = web.ports.get("8000/tcp")
    if not published:
        return False
    link = http.client.HTTPConnection("127.0.0.1", int(published[0]["HostPort"]), timeout=5)
    with closing(link), suppress(OSError, http.client.HTTPException):
        link.request("GET", "/")
        return link.getresponse().status == http.client.OK
    return False

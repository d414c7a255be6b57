"""Lab 15: a service and its database come up in the right order, keep their data, and share a password that is in no container's settings."""

import json
import re
import secrets
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, printed, same, web
from boxlab.labs.lasting import PYTHON, execute

UP_S, ANSWERS_S = 90, 45
"""How long Compose may take to bring it up, and the service to answer. Where it does not in time, a control must."""

IMAGES = {"web", "postgres"}
FILE, PASSWORD_FILE = "compose.yaml", "password.txt"

OFTEN = {"interval": "250ms", "timeout": "5s", "retries": 200, "start_period": "0s", "start_interval": "250ms"}
"""How often health is checked: what is run for that is as the file says."""

REFUSED = re.compile(r'["/]service\.py", line \d+(?:(?!Traceback)[\s\S])*?psycopg\.OperationalError')
"""What service.py ends with where it cannot connect; another program may have tried before."""

SLEEP = re.compile(r"\bsleep\b|\bread -t\b|\btimeout \d|\bwait\(\d|\bdate\b|\btail -f\b")
"""How a command says that it waits by the clock, by the shell or by Python."""

PATIENCE_S = 60
"""What a database may need on a slow machine: a health check that gives up earlier gives up a database that is well."""

DURATION = re.compile(r"([\d.]+)(h|ms|m|us|ns|s)")
UNITS_S = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""A part of a duration as Compose has it, such as "1m30s"."""

NOTE = """
try:
    open("/proc/1/fd/2", "a").write({mark!r})
except OSError:
    pass
"""
"""What service.py does first: it says in the container's log that it was started, whoever has started it."""

READY = ["sh", "-c", "pg_isready --quiet --timeout=30 --host 127.0.0.1 && echo ready"]
"""Asks the database whether it takes connections over the network."""

SOON_S, BY_THE_CLOCK_S = 5, 25
"""How long making the database takes at least: more than a service needs to start, on a busy machine too; and where the service or
what it waits for sleeps, more than anybody would wait for without looking."""

CONTROL = {
    "services": {
        "web": {
            "image": "containers-measured/web",
            "command": ["python3", "-m", "http.server", "8000"],
            "depends_on": {"db": {"condition": "service_healthy", "required": True}},
            "networks": {"default": None},
        },
        "db": {
            "image": "containers-measured/postgres",
            "environment": {"POSTGRES_PASSWORD": "control"},
            "healthcheck": {"test": ["CMD", "pg_isready", "--host", "127.0.0.1"]},
            "networks": {"default": None},
        },
    },
    "networks": {"default": {}},
}
"""A project that is right."""

LOG_IN = """
import json, psycopg, sys

right, wrong, word = sys.argv[1:]

def ask(password, *query):
    with psycopg.connect(host="db", user="postgres", password=password, connect_timeout=30) as link:
        return link.execute(*query).fetchall()

def may(password):
    try:
        ask(password, "SELECT 1")
        return ""
    except psycopg.OperationalError as error:
        return str(error)

def has(word):
    try:
        return bool(ask(right, "SELECT word FROM words WHERE word = %s", [word]))
    except psycopg.Error:
        return False

print(json.dumps([[may(right), may(wrong)], has(word)]))
"""
"""Logs in to the database: prints what it says against each password, which is nothing where it lets one in, and whether it has the word."""


@cache
def model(work: Work) -> dict:
    """The learner's file as Compose has it, after the drawn password was put into its file."""
    (work.folder / PASSWORD_FILE).write_text(password(work) + "\n")
    found = work.compose(FILE)
    services = found["services"]
    same(
        "db, web",
        ", ".join(sorted({"db", "web"} & services.keys())) or _("neither"),
        why=_("the service finds its database by the name {name}", name="db"),
        next=_("keep both services"),
    )
    if profiled := [name for name in ("db", "web") if services[name].get("profiles")]:
        raise Mismatch(
            _("`docker compose up` starts {services}", services="db, web"),
            _("{services}: in a profile", services=", ".join(profiled)),
            _("a service with a profile stays out of `up`, unless it is asked for"),
            _("leave out {key} there", key="`profiles`"),
        )
    for name, service in services.items():
        image = str(service.get("image", "")).removesuffix(":latest")
        if image not in {f"containers-measured/{each}" for each in IMAGES}:
            raise Mismatch(
                _("each service has one of the two images that the starter names"),
                f"{name}: {image or 'build'}",
                _("others may not be there"),
                _("keep the images"),
            )
        service["image"] = work.image(image.partition("/")[2])
    return found


@cache
def password(_work: Work) -> str:
    return secrets.token_hex(12)


@cache
def mark(_work: Work) -> str:
    """What stands in the log of `web` each time that service.py was started."""
    return f"service.py is started: {secrets.token_hex(12)}\n"


def noted(work: Work) -> None:
    """Let service.py say in the log that it was started, with each of its lines where it was."""
    program = work.folder / "service.py"
    note = f"import os; exec({NOTE.format(mark=mark(work))!r})\n"
    program.write_text(program.read_text().replace("import os\n", note, 1))


def slow(found: dict, folder: Path, begins_s: float, makes_s: float) -> dict:
    """The same with a database that takes long to be made: it begins late, and then listens on its socket alone."""
    found = json.loads(json.dumps(found))
    for service in found["services"].values():
        if service.get("healthcheck", {}).get("test"):
            service["healthcheck"] |= OFTEN
    db = found["services"]["db"]
    entry = db.get("entrypoint") or ["docker-entrypoint.sh"]
    late = f'[ -s "$$PGDATA/PG_VERSION" ] || sleep {begins_s}'
    db["entrypoint"] = ["sh", "-c", f'{late}; exec "$$@"', "sh", *entry]
    db["command"] = db.get("command") or ["postgres"]
    # A file: what the model itself holds cannot be laid into a container that is read-only.
    script = folder / "slow.sh"
    script.write_text(f"sleep {makes_s}\n")
    script.chmod(0o644)
    found.setdefault("configs", {})["slow"] = {"file": str(script)}
    db.setdefault("configs", []).append({"source": "slow", "target": "/docker-entrypoint-initdb.d/zz-slow.sh"})
    return found


def waiting(found: dict) -> list[str]:
    """The services on whose start `web` waits, itself first."""
    waits = ["web"]
    for name in waits:  # and those that it waits for, which join them
        waits += [other for other in found["services"][name].get("depends_on", ()) if other not in waits]
    return waits


def least(found: dict) -> float:
    """How long making the database must take at least, in seconds, so that who waits by the clock is too early."""
    run = [found["services"][name] for name in waiting(found)] + [found.get("configs"), found.get("secrets")]
    return BY_THE_CLOCK_S if SLEEP.search(json.dumps(run)) else SOON_S


def impatient(found: dict) -> dict[str, float]:
    """The services whose health check gives up too early, though `web` waits for it, and after how many seconds they do.

    A check of its own is the one that matters where `web` waits for no other's health or end: it waits within.
    """
    services, early = found["services"], {}
    conditions = [
        (other, how.get("condition"))
        for name in waiting(found)
        for other, how in services[name].get("depends_on", {}).items()
    ]
    waited = {other for other, condition in conditions if condition == "service_healthy"}
    within = all(condition != "service_completed_successfully" for _other, condition in conditions)
    # `up --wait` waits for the database's health, whoever else does.
    for name in sorted({"db"} | (waited or ({"web"} if within else set()))):
        health = services[name].get("healthcheck") or {}
        if health.get("test"):
            each, first = (in_seconds(health.get(key, "")) for key in ("interval", "start_period"))
            patience = first + (health.get("retries") or 3) * (each or 30)  # Docker's own where they say nothing
            early |= {name: patience} if patience < PATIENCE_S else {}
    return early


def in_seconds(duration: str) -> float:
    """Seconds of a duration such as "1m30s"."""
    return sum(float(number) * UNITS_S[unit] for number, unit in DURATION.findall(duration))


@cache
def require_control(work: Work) -> None:
    """See that a project that is right comes up and answers here, with a database as slow as the learner's, so that one that does
    not is the learner's mistake.

    Raises:
        BoxlabError: it does not: the machine is too busy.
    """
    control = json.loads(json.dumps(CONTROL)) | {"name": f"{model(work)['name']}-control"}
    for service in control["services"].values():
        service["image"] = work.image(service["image"].partition("/")[2])
    with work.project(slow(control, work.folder, 1, least(model(work)) + 1)) as project:
        if project.up(UP_S) or ask(project, "/")[0][0] != 200:
            raise BoxlabError(
                _("a project that is right does not come up here"), _("check again when the machine is less busy")
            )


@dataclass
class Life:
    """What became of the project: started, asked, taken down, started again.

    Attributes:
        up: what Compose said where the first start failed.
        ended: the end of what each service has printed that has failed, where the first start did.
        sick: what the last check of a service's health has printed, where the first start failed though all went on.
        first: status and text of the first answer.
        restarts: how often containers were started again until then.
        refused_first: whether the service had tried before the database was ready, and was started again within its container.
        too_early: whether `up --wait` had ended before the database was ready.
        word: what was kept.
        again: what Compose said where it did not start after `down`.
        later: what there was after `down` and `up`.
        shown: what the engine says of each container.
        refused: what the database said to the right password, and to a wrong one.
        stored: whether the database has the word.
        printed: the service's log of the first start.
    """

    up: str = ""
    ended: dict[str, str] = field(default_factory=dict)
    sick: dict[str, str] = field(default_factory=dict)
    first: tuple[int, str] = (0, "")
    restarts: dict[str, int] = field(default_factory=dict)
    refused_first: bool = False
    too_early: bool = False
    word: str = ""
    again: str = ""
    later: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, str] = ("", "")
    stored: bool = False
    printed: str = ""


@cache
def life(work: Work) -> Life:
    """Let it live, with a database whose slowness is drawn."""
    makes_s = least(model(work)) + work.random.uniform(0.5, 1)
    found = slow(model(work), work.folder, work.random.uniform(0.5, 1), makes_s)
    noted(work)
    lived = Life(word=f"word-{work.random.getrandbits(40):010x}")
    with work.project(found) as project:
        lived.up = project.up(UP_S)
        boxes = project.containers()
        lived.sick = sick(boxes) if lived.up else {}
        failed = [name for name, box in boxes.items() if box["State"]["ExitCode"] and name != "web"]
        lived.ended = {name: _last(project.printed(name)) for name in failed} if lived.up else {}
        lived.restarts = {name: box["RestartCount"] for name, box in boxes.items() if box["RestartCount"]}
        if not lived.up and not lived.restarts:
            lived.too_early = not ready(boxes["db"]["Id"])
            [lived.first] = ask(project, "/")
        said = project.printed("web")
        lived.printed = said.replace(mark(work), "")
        lived.refused_first = bool(REFUSED.search(lived.printed)) or said.count(mark(work)) > 1
        if lived.first[0] != 200 or lived.refused_first or lived.too_early:
            return lived
        ask(project, f"/add/{lived.word}")
        lived.shown = {name: json.dumps(box) for name, box in boxes.items()}
        web = boxes["web"]["Id"]
        wrong = secrets.token_hex(12)
        asked = [PYTHON, "-I", "-c", LOG_IN, password(work), wrong, lived.word]
        refused, lived.stored = json.loads(execute(web, asked))
        lived.refused = tuple(refused)
        project.down()
        lived.again = project.up(UP_S)
        lived.later = "" if lived.again else ask(project, "/")[0][1]
    return lived


def sick(boxes: dict[str, dict]) -> dict[str, str]:
    """What the last check has printed of each service that is not healthy; nothing where one has failed, which the others wait for."""
    states = {name: box["State"] for name, box in boxes.items()}
    if any(state["ExitCode"] and not state["Running"] for state in states.values()):
        return {}
    known = {name: state.get("Health") or {} for name, state in states.items() if state["Running"]}
    return {
        name: health["Log"][-1]["Output"]
        for name, health in known.items()
        if health.get("Log") and health["Status"] != "healthy"
    }


def ready(database: str) -> bool:
    """Whether the database takes connections over the network; one that has ended takes none."""
    try:
        return "ready" in execute(database, READY)
    except BoxlabError:
        return False


def ask(project, *paths: str) -> list[tuple[int, str]]:
    """Status and text of the service's answers; status 0 where it has ended, or is started again."""
    ended = [(0, _("the service has ended"))] * len(paths)
    if not (box := running(project)):
        return ended
    try:
        said = execute(box["Id"], web.question(ANSWERS_S, *paths))
    except BoxlabError:
        if running(project):
            raise
        return ended
    try:
        return web.answers(said)
    except ValueError:  # it has ended meanwhile, and this program with it
        return ended


def running(project) -> dict | None:
    """What the engine says of the service's container, if that runs and is not about to be started again."""
    box = project.containers().get("web")
    return box if box and box["State"]["Running"] and not box["State"]["Restarting"] else None


@check(points=1)
def reads(work: Work) -> None:
    """Compose reads the file, with both services."""
    model(work)


@check(points=4, timeout=400, needs=[reads])
def waits(work: Work) -> None:
    """With a slow database, `docker compose up --wait` ends well, and the first request gets a good answer.

    The database begins late, and then is busy for seconds while it listens on its socket alone, more than a service needs to start.
    Where `web`, or what it waits for, waits by the clock, that takes half a minute: who waits longer without looking is let through, and
    so is who does it by a word that `SLEEP` does not know.
    """
    if early := impatient(model(work)):
        raise Mismatch(
            _("a database that takes {seconds} s, as it may on a slow machine, is waited for", seconds=PATIENCE_S),
            "; ".join(
                _("the health check of {name} gives up after {seconds:g} s", name=name, seconds=seconds)
                for name, seconds in sorted(early.items())
            ),
            _(
                "a service is unhealthy when {retries} checks in a row have failed, {interval} apart, and `up --wait` fails then; within "
                "{start_period}, none counts",
                retries="`retries`",
                interval="`interval`",
                start_period="`start_period`",
            ),
            _("say how long it may take: {line}", line=f"`start_period: {PATIENCE_S}s`"),
        )
    lived = life(work)
    if lived.too_early and not lived.refused_first:
        require_control(work)
        raise Mismatch(
            _("when `docker compose up --wait` has ended, the service can answer"),
            _("it ended before the database took connections"),
            _("who runs the command goes on then, and sends the first request"),
            _(
                "give `web` a health check, or let it wait until `db` is healthy: a container that runs need not be ready"
            ),
        )
    if lived.up or lived.first[0] != 200 or lived.restarts or lived.refused_first:
        require_control(work)
        expected = _("it comes up, no service is started twice, and the first answer has status 200")
        if lived.sick and not (lived.restarts or lived.refused_first):
            told = [
                _("the health check of {name} printed: {output}", name=name, output=printed(output))
                for name, output in lived.sick.items()
            ]
            raise Mismatch(
                expected,
                printed("\n".join([lived.up, *told])),
                _("a service is healthy once its check has ended with status 0, and `up --wait` waits for that"),
                _(
                    "run that check in its container, by {command}: it may ask for a program that the image does not have",
                    command=f"`docker compose exec {min(lived.sick)} …`",
                ),
            )
        ended = [f"{name}: {lines}" for name, lines in sorted(lived.ended.items())]
        told = "\n".join(
            filter(None, [lived.up, *ended, lived.first[1], _last(lived.printed), str(lived.restarts or "")])
        )
        raise Mismatch(expected, printed(told), *advice(lived, told))


def advice(lived: Life, told: str) -> tuple[str, str]:
    """Why a project that says this does not come up, and what to do."""
    if re.search("password authentication failed|no password supplied", told):
        return (
            _(
                "the check writes another password into {file}, and {program} reads it as a secret",
                file=PASSWORD_FILE,
                program="service.py",
            ),
            _(
                "let both services read {file} as the secret {name}: in `web`, it's at {path}",
                file=PASSWORD_FILE,
                name="`db-password`",
                path="/run/secrets/db-password",
            ),
        )
    if "has no healthcheck configured" in told:
        return (
            _(
                "`up --wait` fails where a health check is asked for that there is not; one that is switched off is none"
            ),
            _("give that service a `healthcheck` with a `test`"),
        )
    if lived.restarts or lived.refused_first or re.search("[Cc]onnection refused|starting up", told):
        return (
            _("a database needs time between its start and its first connection"),
            _("let `web` wait until `db` is healthy, by a check of what `web` needs: a connection over the network"),
        )
    return (
        _("a project is up when each of its services goes on, or has ended as it should"),
        _("do it in your folder: what does `docker compose ps --all` say, and what does `docker compose logs`?"),
    )


def _last(lines: str) -> str:
    """The end of what a service has printed."""
    return "\n".join(lines.splitlines()[-5:])


@check(points=3, needs=[waits])
def keeps(work: Work) -> None:
    """What was kept is there after `docker compose down` and `up`."""
    lived = life(work)
    if lived.again or lived.later != lived.word:
        require_control(work)
    if lived.again:
        raise Mismatch(
            _("after `docker compose down`, `docker compose up --wait` ends well again"),
            printed(lived.again),
            _("each update of a service removes its containers, and starts new ones on the existing data"),
            _("do both in your folder: what does `docker compose ps --all` say, and what does `docker compose logs`?"),
        )
    same(
        lived.word,
        lived.later or _("(nothing)"),
        why=_("`down` removes containers, and what is in them or in their anonymous volumes is lost"),
        next=_("give the folder in which the database keeps its files a volume with a name"),
    )
    if not lived.stored and not lived.refused[0]:
        raise Mismatch(
            _("the word is in the table {table} of the database", table="words"),
            _("it is not there"),
            _("the database is what keeps the words, and what a backup of it holds"),
            _("leave {file} as it is, and have {service} run it", file="service.py", service="web"),
        )


@check(points=2, needs=[waits])
def secret(work: Work) -> None:
    """The password in `password.txt` opens the database, no other does, and it is in no container's settings."""
    lived = life(work)
    right, wrong = lived.refused
    known = password(work), (work.starter / PASSWORD_FILE).read_text().strip()  # as the learner's own folder has it
    told = [name for name, shown in lived.shown.items() if any(word in shown for word in known)]
    if right or not wrong or told:
        raise Mismatch(
            _(
                "the database lets in who has the password of {file}, and nobody else; `docker inspect` shows it nowhere",
                file=PASSWORD_FILE,
            ),
            printed(
                right
                or (
                    _("`docker inspect` shows it: {names}", names=", ".join(told))
                    if told
                    else _("a wrong password is let in")
                )
            ),
            _("who may look at a container's settings need not know its password"),
            _("make {file} a secret, and let both services read it", file=PASSWORD_FILE)
            if right
            else _(
                "take it out of {places}, and out of what a health check prints", places="environment, command, labels"
            )
            if told
            else _(
                "take out what trusts without asking, such as {setting}", setting="POSTGRES_HOST_AUTH_METHOD: trust"
            ),
        )

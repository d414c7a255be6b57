"""Lab 01: the image builds, and its program gives the same answer in every elsewhere."""

import tomllib
from collections import Counter
from datetime import UTC, datetime
from functools import cache

from boxlab.labs import AS_USUAL, BoxlabError, Mismatch, Work, _, check, printed, same
from boxlab.labs.checks import SLACK

DATA, SETTINGS = "/data/sales.csv", "settings.toml"

BASE = "containers-measured/base"

MOUNTED = {"Mounts": [{"Type": "volume", "Target": "/data", "VolumeOptions": {"NoCopy": True}}]}
"""What the container sees at /data: nothing of what the image has there, as with a folder of the user's."""

ENDS_S = 30
"""How long the program may take; it has a few lines to read. Where it has not ended then, a control must have."""

SOME_DAY, DAY = 1767225600, 86400
"""The first of January 2026 in UTC, and a day's seconds."""

ZONES = ["Asia/Seoul", "America/Los_Angeles", "Pacific/Auckland"]

OLD_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
"""A session whose locale knows ASCII alone, as those of old servers do; an empty variable is none, whatever the Dockerfile says."""

BY_HAND = "docker run --rm --volume ./work/01-elsewhere:/data"
"""How a learner runs the image, before options and its name."""

ELSEWHERE = _("what is from a session, a user or a folder differs from computer to computer; the answer must not")


@cache
def image(work: Work):
    """What the learner's files build, with a tax that is drawn."""
    (work.folder / SETTINGS).write_text(f"tax = {work.random.randrange(1, 20)}\n")
    return work.build(based=True)


def sales(work: Work) -> list[tuple[int, str, int]]:
    """Stamp, city and cents, drawn; early and late in the day, so that no other time zone has the same days.

    Each city has two sales on one day, and one day is that of all cities, which come in another order than that of their names.
    """
    cities = [f"{name}-{work.random.getrandbits(32):08x}" for name in ("Zürich", "Malmö", "서울")]
    shared, rows = work.random.randrange(300), []
    for city in cities:
        one, other, busy = work.random.sample(range(300), 3)
        for day, hour in ((shared, 0), (one, 1), (busy, 12), (busy, 22), (other, 23)):
            rows.append((SOME_DAY + day * DAY + hour * 3600, city, work.random.randrange(100, 10**6)))
    return rows


def right(rows: list[tuple[int, str, int]], tax: int) -> str:
    """What the program should print."""
    totals: Counter[str] = Counter()
    for stamp, city, cents in rows:
        totals[f"{datetime.fromtimestamp(stamp, UTC).date()} {city}"] += cents
    return "\n".join(f"{key} {totals[key] * (100 + tax)}" for key in sorted(totals))


def told(work: Work, next: str, tax: int | None = None, why: str = ELSEWHERE, **session) -> None:
    """Run the program over sales that were drawn, in a session of some elsewhere.

    Args:
        next, why: what to do where its answer is wrong, and why it matters.
        tax: what it has to count with; by default what the settings say.
        session: as for `work.lasting`.

    Raises:
        Mismatch: it fails, or gives another answer.
    """
    rows = sales(work)
    if tax is None:
        tax = tomllib.loads(work.text(SETTINGS))["tax"]
    with work.lasting(image(work), settings=MOUNTED, session=session, **AS_USUAL) as box:
        box.write(DATA, "".join(f"{stamp},{city},{cents}\n" for stamp, city, cents in rows))
        box.start()
        status = ended(work, box, next)
        said, answer = box.printed(), box.printed(errors=False)
    if status:
        raise Mismatch(
            _("the program ends with status 0"),
            _("it ended with status {status}; it printed:\n{output}", status=status, output=printed(said)),
            why,
            next,
        )
    same(right(rows, tax), answer.strip(), why=why, next=next)


def ended(work: Work, box, next: str) -> int:
    """The exit status of the program, once it has ended.

    Raises:
        Mismatch: it goes on, though a control does not.
    """
    try:
        return box.status(ENDS_S)
    except BoxlabError:
        if not box.running():
            raise
    require_control(work)
    raise Mismatch(
        _("the program ends within {seconds} s", seconds=ENDS_S),
        _("it goes on; it printed:\n{output}", output=printed(box.printed())),
        _("it has a few lines to read, and whoever runs it waits for its end"),
        next,
    )


@cache
def require_control(work: Work) -> None:
    """See that a program that does nothing ends here in a part of that time.

    Raises:
        BoxlabError: it does not: the machine is too busy.
    """
    with work.lasting(BASE, ["python3", "-c", ""], **AS_USUAL) as box:
        box.start()
        box.status(ENDS_S // SLACK)


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@check(points=1, needs=[builds])
def answers(work: Work) -> None:
    """The program in the image tells the sales of other data, with the tax of settings.toml."""
    told(
        work,
        _(
            "see that the image has all files that the program reads, outside of {folder}, that it reads {file}, and that {variable} is set "
            "nowhere but in {settings}",
            folder="/data",
            file=DATA,
            variable="TAX",
            settings=SETTINGS,
        ),
        why=_(
            "whoever runs the program mounts a folder with other sales, and another program reads what it prints: these lines, and no more"
        ),
    )


@check(points=2, needs=[answers])
def any_folder(work: Work) -> None:
    """It runs in another working directory."""
    told(
        work,
        _(
            "`{run} --workdir /tmp IMAGE` shows it; a relative path begins in the working directory, and `__file__` knows "
            "where the program is",
            run=BY_HAND,
        ),
        working_dir="/tmp",
    )


@check(points=2, needs=[any_folder])
def any_user(work: Work) -> None:
    """It runs as a user that the image has never heard of, in a folder that is root's."""
    user = str(work.random.randrange(20000, 60000))
    told(
        work,
        _(
            "`{run} --user 12345 --workdir / IMAGE` shows it; look at what the program writes, and at who may read its files",
            run=BY_HAND,
        ),
        user=f"{user}:{user}",
        working_dir="/",
    )


@check(points=2, needs=[answers])
def any_clock(work: Work) -> None:
    """A day is a day of UTC, whatever the session's time zone."""
    zone = work.random.choice(ZONES)
    told(
        work,
        _(
            "`{run} --env TZ={zone} IMAGE` shows it; whoever starts a container can set what the Dockerfile has set, so pass "
            "a time zone explicitly",
            run=BY_HAND,
            zone=zone,
        ),
        environment={"TZ": zone},
    )


@check(points=1, needs=[answers])
def any_language(work: Work) -> None:
    """It reads and prints UTF-8, whatever the session's locale."""
    variables = " ".join(f"--env {name}={value}" for name, value in OLD_LOCALE.items())
    told(
        work,
        _(
            "`{run} {variables} IMAGE` shows it; reading and printing both have an encoding, and the program can name "
            "each of them",
            run=BY_HAND,
            variables=variables,
        ),
        environment=OLD_LOCALE,
    )


@check(points=1, needs=[answers])
def any_settings(work: Work) -> None:
    """A variable TAX counts before what settings.toml says."""
    tax = work.random.randrange(21, 100)
    told(
        work,
        _(
            "`{run} --env TAX={tax} IMAGE` shows it; look for the variable first, then in the file",
            run=BY_HAND,
            tax=tax,
        ),
        tax=tax,
        environment={"TAX": str(tax)},
    )

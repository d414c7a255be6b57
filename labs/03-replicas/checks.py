"""Lab 03: tickets are sold by containers that are replaced, set up from outside, and several at once."""

import contextlib
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from docker.types import Mount, Ulimit

from boxlab.labs import AS_USUAL, BoxlabError, Mismatch, Work, _, check, printed, same

BASE, DATA = "containers-measured/base", "/data"
REPLICAS, EACH = 3, 200
"""How many sell at once, and how many tickets each: without a lock, they collide within the first few."""

ANSWER_S = 60

FULL = {"ulimits": [Ulimit(name="fsize", soft=0, hard=0)]}
"""What lets a container write nothing to any file, as if the disk were full: it ends in the middle of a sale."""

KEEP = f"chmod 777 {DATA} && echo ready && exec cat"


@cache
def image(work: Work):
    """What the learner's files build."""
    return work.build(based=True)


@contextlib.contextmanager
def shared(work: Work):
    """A new and empty volume; what containers must be given to have it at `DATA`."""
    volume = Mount(DATA, None, type="volume")  # without a name: it is gone with the last container that has it
    with work.container(BASE, ["sh", "-c", KEEP], mounts=[volume]) as keeper:
        try:
            keeper.expect("(ready)", ANSWER_S)
        except Mismatch as late:
            raise BoxlabError(
                _("the container that holds the folder {folder}: {reason}", folder=DATA, reason=late.actual),
                _("check again"),
            ) from late
        yield {"volumes_from": [keeper.spawned.id]}


@contextlib.contextmanager
def seller(work: Work, place, price: int = 25, **options):
    """A replica of the service."""
    with work.container(image(work), environment={"PRICE": str(price)}, **AS_USUAL, **place, **options) as box:
        yield box


def sold(name: str, line: str) -> tuple[int, str]:
    """Number and price of the ticket that a line gives to a name.

    Raises:
        Mismatch: it gives none.
    """
    found = re.fullmatch(rf"{re.escape(name)}: ticket (\d+) for (\S+)", line.strip())
    if not found:
        raise Mismatch(
            _("an answer such as {example}", example=f"`{name}: ticket 7 for 25`"),
            printed(line),
            _("the answer is read by a program"),
            _("print one line for each name, in the form that the starter has"),
        )
    return int(found[1]), found[2]


def buy(work: Work, box, name: str = "") -> tuple[int, str]:
    """Ask for a ticket; its number and price."""
    name = name or customer(work)
    by_hand = _("`docker run -i --volume sold:/data --env PRICE=80 IMAGE`, and type a name")
    return sold(name, box.ask(name, ANSWER_S, next=by_hand))


def customer(work: Work) -> str:
    """A name of two words."""
    return f"{work.random.choice(['Ada', 'Grace', 'Edsger', 'Barbara'])} Box-{work.random.getrandbits(32):08x}"


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@check(points=1, needs=[builds])
def answers(work: Work) -> None:
    """One container sells tickets 1, 2 and 3 to whoever asks."""
    with shared(work) as place, seller(work, place) as box:
        same(
            "1 2 3",
            " ".join(str(buy(work, box)[0]) for _number in range(3)),
            why=_("the folder {folder} was empty, so nothing had been sold", folder=DATA),
            next=_("count from 1, one further for each name"),
        )


@check(points=2, needs=[answers])
def settings(work: Work) -> None:
    """The same image sells at another price where PRICE says so."""
    prices = work.random.sample(range(30, 1000), 2)
    with shared(work) as place:
        for price in prices:
            with seller(work, place, price) as box:
                same(
                    str(price),
                    buy(work, box)[1],
                    why=_("the same image is run in several places, and what differs between them comes from outside"),
                    next=_(
                        "read {variable} when the program starts, and not when the image is built", variable="PRICE"
                    ),
                )


@check(points=3, needs=[answers])
def continues(work: Work) -> None:
    """A new container goes on with the next number, also where the one before it was killed, or failed in the middle of a sale."""
    with shared(work) as place:
        with seller(work, place) as box:
            numbers = [buy(work, box)[0] for _number in range(work.random.randint(3, 5))]
            box.kill()
        with seller(work, place) as box:
            same(
                str(numbers[-1] + 1),
                str(buy(work, box)[0]),
                why=_(
                    "{signal} has ended the first container, and a new one has an empty layer and an empty memory",
                    signal="SIGKILL",
                ),
                next=_("keep the last number in {folder}, and write it before you print the answer", folder=DATA),
            )
        last = numbers[-1] + 1
        expected = _("{number} or {other}", number=last + 1, other=last + 2)
        right = {str(last + 1), str(last + 2)}  # who fails in the middle of a sale may have taken the number or not
        with seller(work, place, **FULL) as box, contextlib.suppress(Mismatch):
            buy(work, box)
            expected, right = str(last + 2), {str(last + 2)}  # what was sold is sold
        silent = False
        try:
            with seller(work, place) as box:
                said = str(buy(work, box)[0])
        except Mismatch as mismatch:
            said, silent = mismatch.actual, getattr(mismatch.__cause__, "hung", False)
        if said not in right:
            raise Mismatch(
                expected,
                said,
                _(
                    "the container before this one could write nothing, as on a full disk, and printed ticket {number} all the same: "
                    "it was kept nowhere, so it was sold twice",
                    number=last + 1,
                )
                if said == str(last + 1)
                else _(
                    "the container before this one could write nothing, as on a full disk, and so it ended in the middle of a sale, "
                    "as by a kill; {number} was sold before that",
                    number=last,
                ),
                _(
                    "a lock file that you create yourself outlives its holder, and everyone else waits; the kernel releases {flock} "
                    "when its holder ends",
                    flock="`fcntl.flock`",
                )
                if silent
                else _(
                    "write the new number beside the old one, put it in its place (`replace`), and print the answer only then: who "
                    "opens a file to write to it empties it first"
                ),
            )


@check(points=3, needs=[continues])
def replicas(work: Work) -> None:
    """Three replicas that sell at the same time sell each number once, and leave none out."""
    names = [[customer(work) for _number in range(EACH)] for _replica in range(REPLICAS)]

    def busy(box, asked: list[str]) -> list[int]:
        box.spawned.send("".join(f"{name}\n" for name in asked).encode())
        while len(box.lines) <= len(asked):  # with the first one's; each has its time, however slow the disk is
            box.expect(seconds=ANSWER_S)
        return [sold(name, line)[0] for name, line in zip(asked, box.lines[1:], strict=False)]

    with shared(work) as place, contextlib.ExitStack() as stack, ThreadPoolExecutor(REPLICAS) as threads:
        boxes = [stack.enter_context(seller(work, place)) for _replica in range(REPLICAS)]
        first = [buy(work, box)[0] for box in boxes]  # so all of them have started
        numbers = [number for told in threads.map(busy, boxes, names) for number in told]
    count = Counter(first + numbers)
    twice = sum(times > 1 for times in count.values())
    missing = len(set(range(1, REPLICAS * (EACH + 1) + 1)) - count.keys())
    if twice or missing:
        raise Mismatch(
            _("{count} tickets, numbered from 1 to {count}", count=REPLICAS * (EACH + 1)),
            _("{twice} numbers were sold more than once, and {missing} were left out", twice=twice, missing=missing),
            _("between reading the last number and writing the next one, another replica has read the same"),
            _("let one replica at a time do both, with a lock in {folder} or a database there", folder=DATA),
        )

"""Lab 12: a service answers, ends by itself when it is told to, has saved what it held, and its health is what it says."""

import json
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial

from boxlab.labs import AS_USUAL, BoxlabError, Mismatch, Work, _, check, printed, same, web

BASE = "containers-measured/base"
MODEL, ASKED = "/app/model.json", "/data/asked.txt"

ANSWERS_S, GRACE_S, CHECKED_S = 30, 20, 60
"""How long the service may take to answer, and to end; and the engine to check its health. Where it does not in time, a control must."""

STOP_S = 10
"""How long `docker stop` waits: who has taken longer both times, where a control does not, would have been killed."""

DEAF_S = 1
"""How long a process is waited for that cannot hear its signal: the kernel has dropped it, and nothing more will come."""

ENDS_WELL = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"""The exit statuses of a program that did what it was told to: the usual one, and those that name the usual signals."""

EVERY = 100
"""After so many words, the service appends them to its file."""

UNCHECKED = {"Test": ["NONE"]}
CHECKED = {
    "Interval": 300 * 10**6,
    "StartInterval": 300 * 10**6,
    "StartPeriod": 10**6,
    "Timeout": 3 * 10**9,
    "Retries": 1,
}
"""How often the engine checks the health, in nanoseconds: what it runs for that is as the image says."""

NOTICES_S = 10
"""So long a service may be told healthy that is not any more, or the other way round."""

REAL_TIME = {"RTMIN": 34, "RTMAX": 64}
"""Numbers of the signals that the engine calls so."""

TRIES = 3
"""So many checks there are at least until then, however busy the machine is."""

HEALTHY, UNHEALTHY = "healthy", "unhealthy"

CONTROL = """
import http.server, signal, sys

class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
http.server.HTTPServer(("", 8000), Service).serve_forever()
"""
CONTROL_HEALTH = "import urllib.request; urllib.request.urlopen('http://localhost:8000/', timeout=1)"
"""A service that is right, and its health check, as impatient as that of the last hint."""


@cache
def image(work: Work):
    """What the learner's files build."""
    return work.build(based=True)


AGAIN = "again"
"""What the service is asked when it has been started again."""


@cache
def require_control(work: Work) -> None:
    """See that a service of our own answers, is healthy and ends here in time, so that one that does not is the learner's mistake.

    Raises:
        BoxlabError: it does not: the machine is too busy.
    """
    health = CHECKED | {"Test": ["CMD", "python3", "-c", CONTROL_HEALTH]}
    with work.lasting(BASE, ["python3", "-c", CONTROL], health=health, **AS_USUAL) as box:
        try:
            box.start()
            right = ask(box, "word")[0][0] == 200 and turned(box, HEALTHY)[0] == HEALTHY
        except Mismatch:  # it has ended: no slip of the learner's either
            right = False
        if not right or signal.SIGKILL in box.stop(STOP_S):
            raise BoxlabError(
                _("a service that is right does not answer, turn healthy and end in time here"),
                _("check again when the machine is less busy"),
            )


def ask(box, *words: str, control=lambda: None) -> list[tuple[int, str]]:
    """Status and text of the service's answers.

    Args:
        control: see `web.asked`.

    Raises:
        Mismatch: it has ended, or cannot be asked.
    """
    return web.asked(box, ANSWERS_S, *(f"/{word}" for word in words), control=control)


def ready(work: Work, box) -> None:
    """Start the service, and wait until it answers.

    Raises:
        Mismatch: it does not, and the control does.
    """
    box.start()
    ((status, text),) = ask(box, "good", control=lambda: require_control(work))
    if not status:
        require_control(work)
        raise web.unanswered(ANSWERS_S, text, box.printed())


@dataclass
class Life:
    """What became of a service that was asked, and then told to stop.

    Attributes:
        worth: what its model says of the words that it was asked first.
        asked: all that it was asked, and how often.
        answered: what it said itself.
        first: process 1, as words.
        told: the signal that stops it.
        heard: whether process 1 could hear that.
        sent: the numbers of the signals that the engine has sent.
        took_s: how long it has taken to end, the shorter time of two.
        saved: what was in the file of the words at the end.
        again: what is to be told of it where it was started again and has ended.
    """

    worth: dict[str, int]
    asked: Counter
    answered: dict[str, str]
    first: str
    told: str
    heard: bool
    sent: list[int]
    status: int
    took_s: float
    saved: str | None
    printed: str
    again: Mismatch | None = None


@cache
def life(work: Work) -> Life:
    """Let the service live, with a model whose words and numbers were drawn; where it ends by itself, twice."""
    worth = {f"word-{work.random.getrandbits(40):010x}": work.random.randint(10, 9999) for _word in range(4)}
    known, worth = worth, worth | {f"unknown-{work.random.getrandbits(40):010x}": 0}
    first, *others = worth
    often = f"often-{work.random.getrandbits(40):010x}"
    asked = Counter([*worth, *[often] * EVERY])
    control = partial(require_control, work)
    with work.lasting(image(work), health=UNCHECKED, **AS_USUAL) as box:
        ready(work, box)
        box.write(MODEL, json.dumps(json.loads(work.text("model.json")) | known))
        answers = [*ask(box, first, *[often] * EVERY, control=control)[:1], *ask(box, *others, control=control)]
        state = box.state()
        told = state["Config"].get("StopSignal") or "SIGTERM"
        heard = hears(box.beside(["/bin/cat", "/proc/1/status"]), told)
        sent, took_s = stopped(box, GRACE_S if heard else DEAF_S)
        status, said, saved = box.status(GRACE_S), printed(box.printed()), box.read(ASKED)
        again = None
        if signal.SIGKILL not in sent and saved is not None and kept(saved, asked) == asked:
            try:
                ready(work, box)
                ask(box, AGAIN, control=control)
                asked[AGAIN] += 1
                took_s = min(took_s, stopped(box, GRACE_S)[1])
                saved = box.read(ASKED)
            except Mismatch as ended:
                again = ended
        return Life(
            worth,
            asked,
            {
                word: text if status == 200 else f"{status} {text}"
                for word, (status, text) in zip(worth, answers, strict=True)
            },
            " ".join([state["Path"], *state["Args"]]),
            told,
            heard,
            sent,
            status,
            took_s,
            saved,
            said,
            again,
        )


def stopped(box, grace_s: int) -> tuple[list[int], float]:
    """Stop it: the numbers of the signals that the engine has sent, and how long that took, in seconds."""
    began = time.monotonic()
    return box.stop(grace_s), time.monotonic() - began


def hears(status: str, told: str) -> bool:
    """Whether a process 1 with such a /proc/1/status gets that signal: the kernel drops those that it neither handles nor keeps waiting.

    Where that cannot be read of it, it may.
    """
    number = numbered(told)
    masks = re.findall(r"^Sig(?:Blk|Cgt):\s*([0-9a-f]+)$", status, re.MULTILINE)
    return not number or not masks or any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def numbered(told: str) -> int:
    """The number of a signal as an image names it: SIGTERM, term, 15 or SIGRTMIN+3; 0 where it has none."""
    name = told.upper().removeprefix("SIG")
    if real_time := re.fullmatch(r"(RTMIN|RTMAX)([+-]\d+)?", name):
        return REAL_TIME[real_time[1]] + int(real_time[2] or 0)
    return int(name) if name.isdigit() else getattr(signal, f"SIG{name}", 0)


def kept(saved: str, words: Counter) -> Counter:
    """How often a file has each of these words; it may have others, such as those of a health check."""
    return Counter(line for line in saved.split("\n") if line in words)


@dataclass
class Pulse:
    """What the engine said of the service's health, each time with what the health check had printed.

    Attributes:
        first: when it answered.
        broken: when its model was none.
        restored: when it had a model again, with other numbers.
        frozen: when none of its processes went on.
        ended: what is to be told of it where it has ended, once it had been healthy.
    """

    first: tuple[str, str]
    broken: tuple[str, str] = ("", "")
    restored: tuple[str, str] = ("", "")
    frozen: tuple[str, str] = ("", "")
    ended: Mismatch | None = None


@cache
def pulse(work: Work) -> Pulse:
    """Let the engine check a service that is well, broken, mended, and frozen."""
    broken = f"no model: {work.random.getrandbits(32):x}"
    with work.lasting(image(work), health=CHECKED, **AS_USUAL) as box:
        ready(work, box)
        seen = Pulse(turned(box, HEALTHY))
        if seen.first[0] == HEALTHY:
            try:
                box.write(MODEL, broken)
                seen.broken = turned(box, UNHEALTHY)
                words = json.loads(work.text("model.json"))
                box.write(MODEL, json.dumps({word: work.random.randint(10, 9999) for word in words}))
                seen.restored = turned(box, HEALTHY)
                if seen.restored[0] != HEALTHY:
                    require_control(work)
                box.freeze()
                seen.frozen = turned(box, UNHEALTHY)
            except Mismatch as ended:
                seen.ended = ended
        elif seen.first[0] == UNHEALTHY:
            require_control(work)
        return seen


def turned(box, wanted: str) -> tuple[str, str]:
    """What the engine says of a service that ought to be `wanted`, if need be after a while: it may note its own health by the clock."""
    began, tries = time.monotonic(), 0
    while tries < TRIES or time.monotonic() - began < NOTICES_S:
        seen, tries = checked(box), tries + 1
        if seen[0] in (wanted, ""):
            break
    return seen


def checked(box) -> tuple[str, str]:
    """What the engine says once it has checked the service anew, and what that has printed.

    Raises:
        Mismatch: the service has ended.
    """
    seen = box.health(CHECKED_S)
    box.require_running()
    return seen


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@check(points=1, needs=[builds])
def answers(work: Work) -> None:
    """The service says what its model says now."""
    for word, number in life(work).worth.items():
        same(
            f"{word}: {number}",
            f"{word}: {life(work).answered[word]}",
            why=_("the check has given the service a new {file}: the next answer comes from that", file=MODEL),
            next=_("leave what the service does as it was: it reads its model for each question"),
        )


@check(points=2, needs=[answers])
def stops_by_itself(work: Work) -> None:
    """Told to stop, the service ends by itself, and not as a failure."""
    seen = life(work)
    well = {*ENDS_WELL, 128 + numbered(seen.told)}
    if signal.SIGKILL not in seen.sent and seen.status in well:
        if seen.took_s > STOP_S:
            require_control(work)
            raise Mismatch(
                _("after {signal}, the service ends within {seconds} s", signal=seen.told, seconds=STOP_S),
                _("it took {seconds:.0f} s", seconds=seen.took_s),
                _("`docker stop` waits {seconds} s, and then kills", seconds=STOP_S),
                _("save, and end: what is left to do can't take longer"),
            )
        return
    if seen.status in well or seen.status == 128 + signal.SIGKILL:
        expected = _("after {signal}, the service ends by itself", signal=seen.told)
        if not seen.heard:
            raise Mismatch(
                expected,
                _(
                    "process 1 is `{command}`, which has no handler for {signal}; {kill} has ended it, exit status {status}",
                    command=seen.first,
                    signal=seen.told,
                    kill="SIGKILL",
                    status=seen.status,
                ),
                _(
                    "`docker stop` sends its signal to process 1 alone, and the kernel drops what that has no handler for; after "
                    "a wait, all are killed"
                ),
                _(
                    "the program must be process 1 (the exec form of {command}), or be told by it, and must handle the signal",
                    command="CMD",
                ),
            )
        require_control(work)
        raise Mismatch(
            expected,
            _(
                "process 1 is `{command}`, which handles {signal} and was still there {seconds} s later; {kill} has ended it",
                command=seen.first,
                signal=seen.told,
                seconds=GRACE_S,
                kill="SIGKILL",
            ),
            _(
                "a handler runs between two lines of the main thread, and what that waits for goes on waiting when it returns"
            ),
            _("what does the main thread wait for, and does the handler end that wait? An exception does"),
        )
    raise Mismatch(
        _(
            "exit status 0, or 128 and the number of the signal: {statuses}",
            statuses=", ".join(str(status) for status in sorted(well) if status),
        ),
        _("exit status {status}; it printed:\n{output}", status=seen.status, output=seen.printed),
        _("who looks at the status, or restarts on failure, must not take a stop for a crash"),
        _("what does your handler raise, or hand to {call}?", call="sys.exit"),
    )


@check(points=2, needs=[stops_by_itself])
def saves(work: Work) -> None:
    """When it has ended, every word that it was asked is in its file, and still is when it has been started again."""
    seen = life(work)
    if seen.again:
        raise Mismatch(
            _("the service goes on when its container is started again"),
            seen.again.actual,
            _("the container has kept its files: `docker start` is not a new container"),
            _("whatever the program makes when it starts may be there already"),
        )
    found = kept(seen.saved or "", seen.asked)
    if found != seen.asked:
        raise Mismatch(
            _(
                "{file} has each word as often as it was asked, a line each: {words}",
                file=ASKED,
                words=listed(seen.asked),
            ),
            _("there is no such file")
            if seen.saved is None
            else _("missing: {words}", words=listed(seen.asked - found))
            if seen.asked - found
            else _("too often: {words}", words=listed(found - seen.asked)),
            *(
                (
                    _("the container was started again, and asked for {word}: what the file had must stay", word=AGAIN),
                    _("how does the program open the file, and what does it do to it when it starts?"),
                )
                if AGAIN in seen.asked
                else (
                    _("what is only in memory is gone when the process ends, however politely"),
                    _("what must run between the signal and the end, and in which process?"),
                )
            ),
        )


def listed(words: Counter) -> str:
    """Words, and how often each is there, where that is more than once."""
    return " ".join(word if number == 1 else f"{word} ({number} ×)" for word, number in words.items())


@check(points=1, needs=[answers])
def healthy(work: Work) -> None:
    """The engine checks the health of the service, which is healthy."""
    status, said = pulse(work).first
    if status != HEALTHY:
        raise Mismatch(
            _("a service that answers is healthy"),
            _("{status}; its check printed: {output}", status=status, output=printed(said))
            if status
            else _("the image has no health check"),
            _("only you know how to test your program"),
            _(
                "`docker exec` your health check in a container of yours: its exit status should be 0, within three seconds"
            )
            if status
            else _("{line} names a command to run in the container", line="HEALTHCHECK"),
        )


@check(points=3, needs=[healthy])
def unhealthy(work: Work) -> None:
    """It is unhealthy when its model is broken, healthy again when it is mended, and unhealthy when it hangs."""
    seen = pulse(work)
    if seen.ended:
        raise Mismatch(
            _("the service goes on when {file} is broken, when it is back, and when it hangs", file=MODEL),
            seen.ended.actual,
            _("a service that has exited can't use a repaired model"),
            _("let an error be an answer, such as status 500, and let the health check end nothing but itself"),
        )
    why = _(
        "a health check is for what the users of a service see: a process that is there need not answer, and an error is no answer"
    )
    if seen.broken[0] != UNHEALTHY:
        raise Mismatch(
            _("unhealthy, once {file} is no JSON any more", file=MODEL),
            _said(seen.broken),
            why,
            _("ask the service a question that needs the model, and let an error be a failure of the check"),
        )
    if seen.restored[0] != HEALTHY:
        raise Mismatch(
            _("healthy again, once {file} is there again", file=MODEL),
            _said(seen.restored),
            _("others send work to what is healthy, and to nothing else"),
            _(
                "the model that is back has other numbers: the health check must know none, and must not remember a failure that is over"
            ),
        )
    if seen.frozen[0] != UNHEALTHY:
        raise Mismatch(
            _("unhealthy, once all processes of the service are frozen ({signal})", signal="SIGSTOP"),
            _said(seen.frozen),
            why,
            _(
                "wait for an answer of the service: the kernel opens connections for a program that hangs, and files need no program"
            ),
        )


def _said(seen: tuple[str, str]) -> str:
    """What the engine said, and what the health check had printed."""
    return _("{status}; its check printed: {output}", status=seen[0], output=printed(seen[1]))

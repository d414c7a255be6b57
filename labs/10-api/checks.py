"""Lab 10: run.py speaks to an engine: it runs a command in a container, shows its output, and leaves nothing. See starter/stage.py.

The engine is a played one, since whoever reaches a real one's socket is root; tests/labs/test_api.py has the right answers speak to
a real one as well.
"""

import base64
import itertools
import json
import re
import secrets
from functools import cache
from pathlib import Path

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, printed

RIGHT = (Path(__file__).with_name("solution") / "run.py").read_text()
"""Asked where run.py has not shown something in time: whether this machine is too busy."""

PATIENCE_S = 4
"""How long the container's program goes on if what it has printed is not shown."""

SECONDS, OUTPUT_KIB = 40, 4096
"""How long a scene may take, in which hardly anything is waited for, and what run.py may print: more than the scene, as by `repr`."""

TRY = _(
    "`.venv/bin/python work/10-api/run.py containers-measured/base COMMAND` runs it on your own engine, if you have one"
)


def play(work: Work, scene: dict, files: dict | None = None) -> dict:
    """What becomes of a scene.

    Raises:
        Mismatch: run.py has not let it come to its end.
    """
    secret = secrets.token_hex(16)
    usual = {"refusal": "", "interrupt": "", "patience_s": PATIENCE_S, "sizes": [4096]}
    told = usual | scene | {"secret": secret}
    bounds = {"seconds": SECONDS, "output_kib": OUTPUT_KIB}
    ran = work.run(["python", "stage.py"], files, input=json.dumps(told), name="run.py", next=TRY, **bounds)
    found, report = ran.output.rpartition(secret)[1:]
    if not found:
        raise Mismatch(
            _("{program} lets what started it go on", program="run.py"),
            _("it ended with status {status}:\n{output}", status=ran.status, output=ran.shown),
            _("a scene without its end cannot be judged"),
            TRY,
        )
    seen = json.loads(report)
    return seen | {name: base64.b64decode(seen[name]) for name in ("shown", "errors")}


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def drawn(work: Work) -> dict:
    """An image and a command that no other scene has."""
    image = f"image-{work.random.getrandbits(40):010x}"
    return {"image": image, "argv": [image, "say", f"--word={work.random.getrandbits(40):010x}"]}


def told(seen: dict) -> str:
    """How run.py ended, for a message."""
    errors = printed(seen["errors"].decode(errors="replace"))
    return _("status {status}; it printed on stderr:\n{output}", status=seen["status"], output=errors)


@cache
def prints(work: Work, right: bool = False) -> tuple[dict, dict]:
    """A scene of a program that prints on both streams, and what came of it; by `right`, what comes of the solution."""
    first, careful = (f"{word} {work.random.getrandbits(40):010x}\n" for word in ("first", "careful"))
    # In frames whose size takes three bytes.
    long = "".join(work.random.choices([*"abc 컨테이너\x01\x00\n\r", "\r\n"], k=160_000)).encode()
    cut = long.index("컨".encode(), len(long) // 2) + 1  # within a character, as an engine cuts what is long
    scene = drawn(work) | {
        "steps": [
            ["stdout", coded(first)],
            ["shown", "stdout", coded(first)],
            ["stderr", coded(careful)],
            ["shown", "stderr", coded(careful)],
            ["stdout", coded(long[:cut])],
            ["stdout", coded(long[cut:])],
            ["stdout", coded("half a li")],
            ["stderr", coded(b"\x02\x00\x00\x00\x00\x00\x00\x05")],  # what looks like a header, and is none
            ["stdout", coded(f"ne {work.random.getrandbits(40):010x}\n")],
            ["end", 0],
        ],
        "sizes": [work.random.choice([1, 2, 3, 5, 7]), 4, 6, 17, 30_000, 2, 9, 40_000],
    }
    return scene, play(work, scene, {"run.py": RIGHT} if right else None)


@cache
def fails(work: Work) -> tuple[dict, dict]:
    """A scene of a program that fails, and what came of it."""
    scene = drawn(work) | {"steps": [["stderr", coded("no data\n")], ["end", work.random.randint(3, 120)]]}
    return scene, play(work, scene)


@cache
def no_image(work: Work) -> tuple[str, dict]:
    """What the engine says of an image that there is not, and what came of it."""
    scene = drawn(work)
    missing = f"missing-{work.random.getrandbits(40):010x}"
    argv = [missing, *scene["argv"][1:]]
    return f"No such image: {missing}:latest", play(work, scene | {"argv": argv, "steps": [["end", 0]]})


@cache
def no_command(work: Work) -> tuple[str, dict]:
    """A word that the engine alone says where a command is not there, and what came of it."""
    scene = drawn(work)
    command = f"nosuch-{work.random.getrandbits(40):010x}"
    word = f"task-{work.random.getrandbits(40):010x}"
    refusal = f'failed to create task for container: {word}: exec: "{command}": executable file not found in $PATH'
    return word, play(work, scene | {"argv": [scene["image"], command], "steps": [["end", 0]], "refusal": refusal})


@cache
def interrupted(work: Work) -> dict:
    """What came of a run in which Ctrl-C was pressed."""
    line = f"working {work.random.getrandbits(40):010x}\n"
    return play(work, drawn(work) | {"steps": [["stdout", coded(line)], ["killed"]], "interrupt": coded(line)})


@check(points=1)
def runs(work: Work) -> None:
    """It creates a container of the image that it is given, with the command that it is given, and starts it."""
    scene, seen = prints(work)
    if seen["created"] != [scene["argv"][1:]] or not seen["started"]:
        raise Mismatch(
            _(
                "one container, with the command {command}, is created and started",
                command=json.dumps(scene["argv"][1:]),
            ),
            _(
                "created: {created}; it asked: {asked}; {end}",
                created=json.dumps(seen["created"]),
                asked=", ".join(seen["asked"]) or _("nothing"),
                end=told(seen),
            ),
            *(
                (
                    _("the engine takes a container's image and command as JSON, and starts it in a second request"),
                    TRY,
                )
                if seen["asked"]
                else (
                    _(
                        "there is no network, and no engine but the one that listens at the path in {name}",
                        name="ENGINE_SOCKET",
                    ),
                    _("connect to that path, with Python's own library"),
                )
            ),
        )


@check(points=3, needs=[runs])
def shows(work: Work) -> None:
    """What its program prints on stdout comes out on stdout, and what it prints on stderr on stderr, with nothing added or missing."""
    streams = (("stdout", "shown"), ("stderr", "errors"))
    for (scene, seen), (stream, name) in itertools.product((prints(work), fails(work)), streams):
        expected = b"".join(base64.b64decode(told[0]) for what, *told in scene["steps"] if what == stream)
        if seen[name] != expected:
            at = next((n for n, (a, b) in enumerate(zip(expected, seen[name], strict=False)) if a != b), None)
            at = min(len(expected), len(seen[name])) if at is None else at
            raise Mismatch(
                _(
                    "on {stream}, {size} bytes; from number {at} on: {data}",
                    stream=stream,
                    size=len(expected),
                    at=at,
                    data=repr(expected[at : at + 24]),
                ),
                _(
                    "{size} bytes; from number {at} on: {data}; status {status}",
                    size=len(seen[name]),
                    at=at,
                    data=repr(seen[name][at : at + 24]),
                    status=seen["status"],
                ),
                _(
                    "both streams come through one connection, in frames: eight bytes that say which stream and how many bytes, then "
                    "those bytes; frames arrive in pieces that are cut anywhere"
                ),
                _(
                    "read eight bytes, then as many as they say, each time until you have them all; write bytes, not text"
                ),
            )


@check(points=1, needs=[shows])
def follows(work: Work) -> None:
    """It shows a line when it is printed, not when the program has ended."""
    if late := prints(work)[1]["late"]:
        if prints(work, right=True)[1]["late"]:
            raise BoxlabError(
                _("a {program} that is right does not show a line in time here", program="run.py"),
                _("check again when the machine is less busy"),
            )
        raise Mismatch(
            _("the first line on {stream} is shown while the program goes on", stream=late[0]),
            _("it was shown only after that"),
            _("a training runs for hours, and who starts it wants to see whether it works"),
            _("ask for the log with {option}, read it frame by frame, and flush what you write", option="follow=1"),
        )


@check(points=1, needs=[runs])
def ends_alike(work: Work) -> None:
    """Its exit status is that of the container's program."""
    scene, seen = fails(work)
    if seen["status"] != (status := scene["steps"][-1][1]):
        raise Mismatch(
            _("status {status}, as the container's program", status=status),
            told(seen),
            _("a script that runs it must learn that the program has failed"),
            _("what does {request} answer?", request="POST /containers/ID/wait"),
        )


@check(points=2, needs=[runs])
def says_errors(work: Work) -> None:
    """Where the engine refuses, it says the engine's message on stderr, and ends with status 125."""
    for words, seen in (no_image(work), no_command(work)):
        unread = re.search(rb"Traceback|\{\s*[\"']message[\"']", seen["errors"])
        if words.encode() not in seen["errors"] or unread or seen["status"] != 125:
            raise Mismatch(
                _("the engine's message, which says {words}, on stderr, and status {status}", words=words, status=125),
                told(seen),
                _(
                    "what the engine says is why it does not work; a traceback of yours, JSON or silence says nothing of that"
                ),
                _(
                    "an answer with a status of {status} or more has a JSON with a {key}; look at the status of each answer",
                    status=400,
                    key="message",
                ),
            )


@check(points=2, needs=[runs])
def removes(work: Work) -> None:
    """No container is left: not when its program has failed, nor when it does not start, nor after Ctrl-C; and no other is touched."""
    for when, seen in (
        (_("its program has ended"), prints(work)[1]),
        (_("its program has failed"), fails(work)[1]),
        (_("it could not be started"), no_command(work)[1]),
        (_("Ctrl-C was pressed"), interrupted(work)),
    ):
        if seen["other"] != "running":
            raise Mismatch(
                _("a container that was there before goes on when {event}", event=when),
                _("it is {state}; {end}", state=seen["other"], end=told(seen)),
                _("an engine has others' work on it"),
                _("name your own container in each request, by the ID that {request} answers", request="create"),
            )
        if seen["left"]:
            raise Mismatch(
                _("no container is left when {event}", event=when),
                _("one is left: {state}; {end}", state=", ".join(seen["left"]), end=told(seen)),
                _("a container that has ended stays on the disk until it is removed, and one that runs goes on"),
                _(
                    "remove it in {keyword}; one that still runs is removed only with {option}",
                    keyword="finally",
                    option="force=1",
                ),
            )

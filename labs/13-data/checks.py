"""Lab 13: a service takes notes, is not root, keeps them out of its layer, and has them when its container was replaced."""

import json
import posixpath
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial

from boxlab.labs import AS_USUAL, BoxlabError, Mismatch, Work, _, check, printed, web
from boxlab.labs.lasting import PYTHON

BASE = "containers-measured/base"

ANSWERS_S = 30
"""How long the service may take to answer. Where it does not in time, a control must."""

OPTIONS = "ro rw z Z nocopy cached delegated consistent".split()
"""What may stand after the folder. z and Z label a volume where SELinux asks for that, nocopy leaves it empty,
and the last three once meant something on a Mac."""

OPTION = f"(?:{'|'.join(OPTIONS)})"

VOLUME = re.compile(
    rf"(?:(?P<name>[a-zA-Z0-9][a-zA-Z0-9_.-]+):)?(?P<place>/[^:]+)(?::(?P<options>{OPTION}(?:,{OPTION})*))?"
)
"""A volume with a name or without one, as it stands behind -v."""

USERS = """
import contextlib, json, os

def fields(number):
    return dict(line.split(":\\t", 1) for line in open(f"/proc/{number}/status").read().splitlines())

found = {}
for name in filter(str.isdigit, os.listdir("/proc")):
    with contextlib.suppress(OSError):  # it has ended meanwhile
        number = name
        if fields(name)["State"].startswith("Z"):  # it has ended, and nobody has asked how
            continue
        while (parent := fields(number)["PPid"]) != "0":
            number = parent
        if number == "1":
            words = open(f"/proc/{name}/cmdline").read().replace("\\0", " ").strip()
            found[f"{name}: {words}"] = [int(user) for user in fields(name)["Uid"].split()]
print(json.dumps(found))
"""
"""The four user IDs of process 1 and of all that it has started; what the engine runs beside them has no parent there."""

CONTROL = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

HTTPServer(("", 8000), Service).serve_forever()
"""
"""A service that answers."""


@cache
def image(work: Work):
    """What the learner's files build."""
    return work.build(based=True)


def of_options(text: str) -> bool:
    """Whether a text would be a volume but for its options."""
    volume, _colon, options = text.rpartition(":")
    return not VOLUME.fullmatch(text) and bool(VOLUME.fullmatch(volume)) and not options.startswith("/")


@cache
def volumes(work: Work) -> list[tuple[str, str, str]]:
    """Name, place and options of each volume in start.toml; the name is empty where it has none.

    Raises:
        Mismatch: it lists something else, or two at one place.
    """
    listed = work.toml("start.toml").get("volumes")
    found = (
        [VOLUME.fullmatch(text) if isinstance(text, str) else None for text in listed or ()]
        if isinstance(listed, list)
        else [None]
    )
    if None in found:
        raise Mismatch(
            _(
                "{key} in {file} is a list of texts such as {example}",
                key="volumes",
                file="start.toml",
                example='"name:/folder"',
            ),
            _("there is no such key") if listed is None else json.dumps(listed, default=str),
            _(
                "in this lab, what comes after {option} is a volume: a path of your machine would be another one here",
                option="-v",
            ),
            _("after the folder and a colon, only these options may stand: {options}", options=", ".join(OPTIONS))
            if isinstance(listed, list) and any(isinstance(text, str) and of_options(text) for text in listed)
            else _(
                "write a name of at least two letters, a colon, and the folder in the container, which begins with {slash}",
                slash="/",
            ),
        )
    places = ["/", *(posixpath.normpath(re.sub("/+", "/", match["place"])) for match in found)]
    if twice := sorted({place for place in places if places.count(place) > 1}):
        raise Mismatch(
            _("each volume is at a folder of its own, below {slash}", slash="/"),
            _("{places}, more than once", places=" ".join(twice))
            if twice != ["/"]
            else _("one is at {slash}", slash="/"),
            _("the engine mounts one volume at a place, and the image's own files are at {slash}", slash="/"),
            _("leave out the other, or give it another folder"),
        )
    return [(match["name"] or "", match["place"], match["options"] or "") for match in found]


def ask(box, *paths: str, control=lambda: None) -> list[tuple[int, str]]:
    """Status and text of the service's answers.

    Args:
        control: see `web.asked`.

    Raises:
        Mismatch: it has ended, or cannot be asked.
    """
    return web.asked(box, ANSWERS_S, *(f"/{path}" for path in paths), user="0", control=control)


@cache
def require_control(work: Work) -> None:
    """See that a service of our own answers here in time, so that one that does not is the learner's mistake.

    Raises:
        BoxlabError: it does not: the machine is too busy.
    """
    with work.lasting(BASE, ["python3", "-c", CONTROL], **AS_USUAL) as box:
        try:
            box.start()
            right = ask(box, "list")[0][0] == 200
        except Mismatch:  # it has ended: no slip of the learner's either
            right = False
        if not right:
            raise BoxlabError(
                _("a service that is right does not answer here"), _("check again when the machine is less busy")
            )


@dataclass
class Lives:
    """What became of the notes in one container, and in the one that followed it.

    Attributes:
        words: the notes; one more, where the first container was well.
        answer: status and text of the last answer of the first container, which should have all of them.
        users: the user IDs of each of its processes.
        layer: the files of its writable layer in which a note stands.
        later: what the second container answers.
        ended: what is to be told of it where it has ended.
    """

    words: list[str]
    answer: tuple[int, str]
    users: dict[str, list[int]] = field(default_factory=dict)
    layer: list[str] = field(default_factory=list)
    later: tuple[int, str] = (0, "")
    ended: Mismatch | None = None


@cache
def lives(work: Work) -> Lives:
    """Let the service take notes that were drawn, remove its container, and ask another one for them."""
    words, control = [f"word-{work.random.getrandbits(40):010x}" for _word in range(3)], partial(require_control, work)
    with ExitStack() as stack:
        names = {name: stack.enter_context(work.volume()) for name, *_place in volumes(work) if name}
        # What has no name is a volume of its own for each container, as `docker run -v /folder` makes it.
        mounts = {
            "Binds": [
                ":".join(filter(None, [names[name], place, options])) for name, place, options in volumes(work) if name
            ],
            "Mounts": [
                {
                    "Type": "volume",
                    "Target": place,
                    "ReadOnly": "ro" in options.split(","),
                    "VolumeOptions": {"NoCopy": "nocopy" in options.split(",")},
                }
                for name, place, options in volumes(work)
                if not name
            ],
        }
        with work.lasting(image(work), settings=mounts, **AS_USUAL) as box:
            box.start()
            seen = Lives(words, ask(box, *(f"add/{word}" for word in words), "list", control=control)[-1])
            if not seen.answer[0]:
                require_control(work)
            if has_all(seen.answer, words):
                seen.users = json.loads(box.beside([PYTHON, "-I", "-c", USERS], user="0"))
                texts = {path: box.read(path) or "" for path in box.changed()}
                seen.layer = [path for path, text in texts.items() if any(word in text for word in words)]
                seen.words.append(f"word-{work.random.getrandbits(40):010x}")
                ask(box, f"add/{seen.words[-1]}", control=control)  # and it is killed at once
        if seen.users and not seen.layer:
            with work.lasting(image(work), settings=mounts, **AS_USUAL) as box:
                try:
                    box.start()
                    (seen.later,) = ask(box, "list", control=control)
                except Mismatch as ended:
                    seen.ended = ended
                if not seen.ended and not seen.later[0]:
                    require_control(work)
        return seen


def has_all(answer: tuple[int, str], words: list[str]) -> bool:
    """Whether an answer has each of these notes once, in this order."""
    status, text = answer
    return status == 200 and [line for line in text.split("\n") if line in words] == words


def told(answer: tuple[int, str]) -> str:
    """An answer as a learner reads it."""
    status, text = answer
    return (
        _("it answers {status}: {text}", status=status, text=printed(text))
        if status
        else _("no answer: {reason}", reason=text)
    )


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@check(points=2, needs=[builds])
def remembers(work: Work) -> None:
    """The service takes notes, and lists them."""
    seen = lives(work)
    if not seen.users:
        raise Mismatch(
            _("after three notes, {path} lists them: {words}", path="/list", words=" ".join(seen.words)),
            told(seen.answer),
            _("the program writes to {folder}, so its user must be allowed to", folder="/data"),
            _("mount the folder {folder}, not the file: a volume is always a folder", folder="/data")
            if any(place.startswith("/data/") for _name, place, _options in volumes(work))
            else _(
                "who owns {folder} in the image, before {line}? And is it mounted to be written to?",
                folder="/data",
                line="USER",
            ),
        )


@check(points=2, needs=[remembers])
def not_root(work: Work) -> None:
    """None of the container's processes is root."""
    roots = [process for process, users in lives(work).users.items() if 0 in users]
    if roots:
        raise Mismatch(
            _("each process has a user ID other than {root}", root=0),
            _("root: {processes}", processes="; ".join(sorted(roots))),
            _("what is root in a container can write to everything that is mounted into it, whoever owns the files"),
            _("{line} in the Dockerfile says as which user the program runs", line="USER"),
        )


@check(points=2, needs=[remembers])
def outside_the_layer(work: Work) -> None:
    """No note lies in the container's writable layer."""
    seen = lives(work)
    if seen.layer:
        raise Mismatch(
            _("no file in the container's layer has a note"),
            _("there are notes in {files}", files=" ".join(sorted(seen.layer))),
            _("the layer is removed with the container, and the notes with it"),
            _("mount a volume where the program writes: see {file}", file="start.toml"),
        )


@check(points=3, needs=[outside_the_layer])
def survives(work: Work) -> None:
    """The container that follows has every note."""
    seen = lives(work)
    if seen.ended:
        raise Mismatch(
            _("a second container, with the volumes of the first, goes on until it is stopped"),
            seen.ended.actual,
            _("the second container finds in its volumes what the first has left there"),
            _("whatever begins the program must also do so where its folders and files are there already"),
        )
    if not has_all(seen.later, seen.words):
        raise Mismatch(
            _("in a second container, {path} lists {words}", path="/list", words=" ".join(seen.words)),
            told(seen.later),
            *(
                (
                    _("the volumes have names, and the second container had the same ones"),
                    _(
                        "does the program write into a volume before it answers? And what does it do at its start to what is there?"
                    ),
                )
                if all(name for name, *_place in volumes(work))
                else (
                    _("a volume without a name is new for each container, and is removed with it"),
                    _("how would the second container find the volume of the first one? Give it a name"),
                )
            ),
        )

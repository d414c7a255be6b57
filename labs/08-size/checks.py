"""Lab 08: the image builds, works, and is small, free of the key, not root's, and cheap to change."""

from functools import cache
from random import Random

from boxlab.labs import AS_USUAL, Mismatch, Work, _, check, same
from boxlab.labs.traces import shows, views

MIB = 1 << 20
BASE = "containers-measured/base"

WORDS = 12
"""How many words are asked for. An index that lacks one of the six speeches is right about one word in six, those that this
speech does not have, and so slips through less than once in 10**8 times."""


def plant(folder, random: Random) -> None:
    """The speeches (needed to build), the key (needed, and secret), the recordings (needed by nobody)."""
    (folder / "speeches").mkdir()
    speak(folder, random)
    (folder / "license.key").write_text(f"key-{random.getrandbits(256):064x}\n")
    (folder / "recordings").mkdir()
    for year in range(2020, 2025):
        (folder / "recordings" / f"{year}.opus").write_bytes(random.randbytes(MIB))


def speak(folder, random: Random) -> None:
    """Write the speeches anew."""
    words = [f"{random.choice(STEMS)}{random.choice(ENDINGS)}" for number in range(2000)]
    for year in range(2020, 2026):
        text = " ".join(random.choices(words, k=2000)) + "\n"
        (folder / "speeches" / f"{year}.txt").write_text(text * (MIB // len(text)))


STEMS = "free equal just open common public peace trade truth trust".split()
ENDINGS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "ia", "is", "or", "um", "us", "y")]


@cache
def texts(work: Work) -> list[list[str]]:
    """The words of each speech of which the image is built."""
    image(work)
    return [path.read_text().split() for path in sorted((work.folder / "speeches").glob("*.txt"))]


@cache
def image(work: Work):
    """What the learner's files build, of other speeches than theirs: an index that was written down beforehand is no use."""
    speak(work.folder, work.random)
    return work.build()


@cache
def found(work: Work) -> tuple[str, int | None]:
    """In words, where the key is, if anywhere; and the topmost layer with an index, whatever its name: what the layers have, stays.

    An index has all words, packed or not.
    """
    key = (work.folder / "license.key").read_text().strip()
    words = [word.encode() for word in sorted(set().union(*texts(work)))]
    leak, index = "", None
    if shows(image(work).described().encode(), key):
        leak = _("it is in what `docker inspect` and `docker history` show of it")
    with image(work).files() as files:
        for layer, path, content in files:
            if not leak and (shows(path.encode(), key) or shows(content, key)):
                leak = _(
                    "it is in layer {layer} of {layers}, in {path}, as it is or in another form",
                    layer=layer + 1,
                    layers=len(image(work).layers),
                    path=path,
                )
            if any(all(word in view for word in words) for view in views(content)):
                index = layer
    return leak, index


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


USERS = """
import contextlib, os, re
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            print(*re.search("Uid:(.*)", open(f"/proc/{name}/status").read())[1].split(), end=" ")
print()
"""
"""Prints the user numbers of all other processes: real, effective, saved, of files. What it runs in is ours, what it sees is not."""


@cache
def running(work: Work) -> tuple[dict[str, str], list[str]]:
    """What the program in the container answers to a few words, and the user numbers of all processes in it meanwhile.

    It has the capabilities that `docker run` gives, so that a program that begins as root can become another user.
    """
    words = work.random.sample(sorted(set().union(*texts(work))), WORDS)
    by_hand = _("`docker run -i IMAGE`, and type a word")
    with work.container(image(work), **AS_USUAL) as box:
        answered = {word: box.ask(word, next=by_hand) for word in [*words, "boxlab"]}
        with work.container(BASE, ["python3", "-c", USERS], pid_mode=f"container:{box.spawned.id}") as beside:
            return answered, beside.expect().split()


@check(points=1, needs=[builds])
def answers(work: Work) -> None:
    """The program in the container says how often a word occurs."""
    for word, answer in running(work)[0].items():
        same(
            f"{word}: {sum(text.count(word) for text in texts(work))}",
            f"{word}: {answer}",
            why=_("a small image that does not do its work is no use"),
            next=_(
                "the program needs {program} and, beside it, the index that {maker} makes of all the speeches",
                program="app.py",
                maker="index.py",
            ),
        )


@check(points=3, needs=[builds])
def small(work: Work) -> None:
    """Above its base, the image has at most half the bytes of the first one."""
    most, made = work.build("first", work.starter).added // 2, image(work)
    if made.added > most:
        size = made.added / MIB
        raise Mismatch(
            _("at most {size:.1f} MiB above the base image", size=most / MIB),
            _("{size:.1f} MiB", size=size)
            if made.on_base
            else _("{size:.1f} MiB, as it does not stand on {image}: all of it counts", size=size, image=BASE),
            _(
                "each line adds a layer, and a layer keeps what it has, whatever a later line deletes; only layers that are "
                "the base's own are shared with others"
            ),
            _(
                "`docker history` and your image shows the large lines: keep out what nobody needs, and what only the build needs, "
                "too"
            ),
        )


@check(points=2, needs=[answers])
def keeps_the_key(work: Work) -> None:
    """The key is nowhere in the image: in no layer and no setting, neither as it is nor encoded or packed."""
    leak = found(work)[0]
    if leak:
        raise Mismatch(
            _("the text of {file} is nowhere in the image", file="license.key"),
            leak,
            _(
                "who has the image has all of its layers and settings, and can unpack and decode what they hold; a deleted "
                "file is still in the layer below"
            ),
            _("use the key in a stage of the build whose layers do not come along"),
        )


@check(points=1, needs=[answers])
def not_root(work: Work) -> None:
    """No process in the container is root's."""
    owners = running(work)[1]
    if "0" in owners or not owners:
        raise Mismatch(
            _("no process in the container has the user number 0, nor can go back to it"),
            _("one has") if owners else _("there is no process"),
            _(
                "root is the number 0, whatever its name; who breaks out of a program that is root's has more to begin with"
            ),
            _(
                "{user} with a number other than 0; an entry point that gives up root itself must give it up for good "
                "(`setpriv`)",
                user="USER",
            ),
        )


@check(points=2, needs=[answers])
def cheap_edit(work: Work) -> None:
    """An edit of app.py arrives in the image, and leaves the layer with the index as it is."""
    edited, word = work.copy(), f"edit-{work.random.getrandbits(32):x}"
    program, loop = edited / "app.py", "for line in sys.stdin:"
    number = work.random.randrange(10**6)
    program.write_text(program.read_text().replace(loop, f"counts[{word!r}] = {number}\n\n{loop}"))
    before, after = image(work), work.build("edited", edited)
    with work.container(after, **AS_USUAL) as box:
        same(
            f"{word}: {number}",
            f"{word}: {box.ask(word)}",
            why=_(
                "the check has taught {program} one word more and has built the image again: it must run the new program",
                program="app.py",
            ),
            next=_(
                "{copy} {program} itself; a program that is written into the Dockerfile never changes",
                copy="COPY",
                program="app.py",
            ),
        )
    index = found(work)[1]
    if index is None or after.layers[index] not in before.layers:
        raise Mismatch(
            _("the index is in layers that are the same before and after"),
            _("layer {layer} has it, and was made again", layer=index + 1)
            if index is not None
            else _("no layer has an {file}", file="index.json"),
            _(
                "from the first line on whose files have changed, each line is run again, in every stage; and what is new "
                "has to be sent to each machine again"
            ),
            _(
                "what changes seldom stands above what changes often: no line before the index may copy or mount {program}, and none "
                "after that may touch or copy the index ({copy} gives an owner at once)",
                program="app.py",
                copy="COPY --chown",
            ),
        )

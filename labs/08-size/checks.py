"""Lab 08: the image builds, works, and is small, free of the key, not root's, and cheap to change."""

from functools import cache
from random import Random, SystemRandom

from boxlab.labs import Mismatch, Work, check, same

MIB = 1 << 20
INDEX = "index.json"


def plant(folder, random: Random) -> None:
    """The speeches (needed to build), the key (needed, and secret), the recordings (needed by nobody)."""
    words = [f"{random.choice(STEMS)}{random.choice(ENDINGS)}" for _ in range(2000)]
    (folder / "speeches").mkdir()
    for year in range(2020, 2026):
        text = " ".join(random.choices(words, k=2000)) + "\n"
        (folder / "speeches" / f"{year}.txt").write_text(text * (MIB // len(text)))
    (folder / "licence.key").write_text(f"key-{random.getrandbits(256):064x}\n")
    (folder / "recordings").mkdir()
    for year in range(2020, 2025):
        (folder / "recordings" / f"{year}.opus").write_bytes(random.randbytes(MIB))


STEMS = "free equal just open common public peace trade truth trust".split()
ENDINGS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("a", "e", "ia", "is", "or", "um", "us", "y")]


@cache
def image(work: Work):
    """What the learner's files build."""
    return work.build()


@cache
def found(work: Work) -> tuple[str, int | None]:
    """Where the key is, if anywhere, and the topmost layer with an index: what the layers have, stays."""
    key = (work.folder / "licence.key").read_text().strip().encode()
    leak, index = "", None
    if key.decode() in image(work).described():
        leak = "what `docker inspect` and `docker history` show of it"
    with image(work).files() as files:
        for layer, path, content in files:
            if key in content:
                leak = leak or f"layer {layer + 1} of {len(image(work).layers)}, in the file {path}"
            if path.endswith(INDEX):
                index = layer
    return leak, index


@check(points=1, timeout=200)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@cache
def running(work: Work) -> tuple[dict[str, str], str]:
    """What the program in the container answers to a few words, and the status of all processes in it meanwhile."""
    words = sorted(set((work.folder / "speeches" / "2020.txt").read_text().split()))
    with work.container(image(work)) as box:
        answered = {
            word: box.ask(word, next="`docker run -i IMAGE`, and type a word")
            for word in [*SystemRandom().sample(words, 3), "boxlab"]
        }
        return answered, box.execute(["sh", "-c", "cat /proc/[0-9]*/status"], user="65534")


@check(points=1, needs=[builds])
def answers(work: Work) -> None:
    """The program in the container says how often a word occurs."""
    texts = [path.read_text().split() for path in (work.folder / "speeches").glob("*.txt")]
    for word, answer in running(work)[0].items():
        same(
            f"{word}: {sum(text.count(word) for text in texts)}",
            f"{word}: {answer}",
            why="a small image that does not do its work is no use",
            next="the program needs app.py and, beside it, the index that index.py makes of all the speeches",
        )


@check(points=3, timeout=200, needs=[builds])
def small(work: Work) -> None:
    """Above its base, the image has at most half the bytes of the first one."""
    most, made = work.build("first", work.starter).added // 2, image(work)
    if made.added > most:
        raise Mismatch(
            f"at most {most / MIB:.1f} MiB above the base image",
            f"{made.added / MIB:.1f} MiB"
            + ("" if made.on_base else ", as it does not stand on containers-measured/base: all of it counts"),
            "each line adds a layer, and a layer keeps what it has, whatever a later line deletes; "
            "only layers that are the base's own are shared with others",
            "`docker history IMAGE` shows the large lines: keep out what nobody needs, and what only the build needs, too",
        )


@check(points=2, needs=[answers])
def keeps_the_key(work: Work) -> None:
    """The key is nowhere in the image."""
    leak, _ = found(work)
    if leak:
        raise Mismatch(
            "the text of licence.key is nowhere in the image",
            f"it is in {leak}",
            "who has the image has all of its layers, those with deleted files as well",
            "use the key in a stage of the build whose layers do not come along",
        )


@check(points=1, needs=[answers])
def not_root(work: Work) -> None:
    """No process in the container is root's."""
    owners = [line.split()[2] for line in running(work)[1].splitlines() if line.startswith("Uid:")]
    if "0" in owners or not owners:
        raise Mismatch(
            "the user number of the program is not 0",
            "it is 0" if owners else "it cannot be seen",
            "root is the number 0, whatever its name; who breaks out of a program that is root's has more to begin with",
            "USER with a number other than 0",
        )


@check(points=2, timeout=200, needs=[answers])
def cheap_edit(work: Work) -> None:
    """An edit of app.py leaves the layer with the index as it is."""
    edited = work.copy()
    program = edited / "app.py"
    program.write_text(program.read_text().replace('VERSION = "1"', 'VERSION = "2"'))
    before, after = image(work), work.build("edited", edited)
    _, index = found(work)
    if index is None or before.common(after) <= index:
        raise Mismatch(
            "the same layer with index.json before and after",
            "another one: it was made again" if index is not None else "no layer has an index.json",
            "from the first line on whose files have changed, each line is run again, in every stage; and what is new "
            "has to be sent to each machine again",
            "what changes seldom stands above what changes often: no line before the index may copy app.py, and none after "
            "that may touch the index (COPY --chown gives an owner at once)",
        )

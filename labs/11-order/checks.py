"""Lab 11: the image builds, answers, takes a small context, is cheap to edit, and never stale."""

import io
import json
import zipfile
from functools import cache
from random import Random

from boxlab.labs import AS_USUAL, BoxlabError, Mismatch, Work, _, check, same

MIB = 1 << 20

CONTEXT = 3 * MIB
"""What the context may have: the two wheels and all else that is needed have two thirds of it."""

EDITED = MIB // 2
"""What an edit may add to the image: a package that is installed again has twice as much."""

BOX = AS_USUAL | {"read_only": True}
"""How a container is held: as `docker run --read-only` does it, so that what is not in the image is nowhere."""

WORDS = 3
"""How many words are asked for; a number of six digits that was not read is right once in 10**6 times."""


def plant(folder, random: Random) -> None:
    """The words and the wheels (needed), and what is needed by nobody."""
    words = {f"word-{random.getrandbits(32):08x}": random.randrange(10**6) for _word in range(50)}
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "data" / "words.json").write_text(json.dumps(words))
    (folder / "wheels").mkdir()
    for release in ("1.0", "1.1"):
        release_to(folder, release, random.randrange(2, 10**6), random)
    for place, names in JUNK.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / place / name).write_bytes(random.randbytes(2 * MIB))


JUNK = {
    "data/raw": ("2023.csv", "2024.csv", "2025.csv"),
    "checkpoints": ("epoch-1.bin", "epoch-2.bin"),
    ".git/objects/pack": ("pack-1.pack", "pack-2.pack"),
}


def release_to(folder, release: str, factor: int, random: Random) -> None:
    """Lay a wheel of the package into a folder's wheels: its number, and a table of a MiB."""
    about = f"weighting-{release}.dist-info"
    files = {
        "weighting/__init__.py": f"FACTOR = {factor}\n",
        "weighting/table.bin": random.randbytes(MIB),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: weighting\nVersion: {release}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: boxlab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # a time of its own: the same wheel each time
    (folder / "wheels" / f"weighting-{release}-py3-none-any.whl").write_bytes(packed.getvalue())


def factor(folder, release: str) -> int:
    """The number that a release of the package has."""
    with zipfile.ZipFile(folder / "wheels" / f"weighting-{release}-py3-none-any.whl") as archive:
        return int(archive.read("weighting/__init__.py").split()[-1])


@cache
def image(work: Work):
    """What the learner's files build."""
    return work.build(based=True)


def asked(work: Work, made, worth: dict[str, int], why: str, next: str) -> None:
    """Ask the program in a container for words, one by one.

    Raises:
        Mismatch: an answer is wrong, or there is none.
    """
    by_hand = _("`docker run --rm --interactive --read-only IMAGE`, and type a word")
    with work.container(made, **BOX) as box:
        for word, expected in worth.items():
            same(f"{word}: {expected}", f"{word}: {box.ask(word, next=by_hand)}", why=why, next=next)


@check(points=1)
def builds(work: Work) -> None:
    """The image builds, without a network."""
    image(work)


@check(points=2, needs=[builds])
def answers(work: Work) -> None:
    """The program in the container says what a word is worth."""
    words = json.loads(work.text("data/words.json"))
    times = factor(work.folder, "1.0")
    worth = {word: words[word] * times for word in work.random.sample(sorted(words), WORDS)}
    asked(
        work,
        image(work),
        worth,
        _("a build that is fast and an image that does not do its work are no use"),
        _(
            "the program needs {words} beside it, and the packages in the versions that {requirements} says, installed while "
            "the image is built",
            words="data/words.json",
            requirements="requirements.txt",
        ),
    )


@check(points=2, needs=[builds])
def small_context(work: Work) -> None:
    """What `COPY . .` would copy is 3 MiB at most."""
    folder = work.copy()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /context/\n")
    with work.build("context", folder).files() as files:
        sizes = {path.removeprefix("context/"): len(content) for _layer, path, content in files}
    if sum(sizes.values()) > CONTEXT:
        largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:3]
        raise Mismatch(
            _("at most {size:.1f} MiB in the context", size=CONTEXT / MIB),
            _("{size:.1f} MiB; the largest: {files}", size=sum(sizes.values()) / MIB, files=", ".join(largest)),
            _("a builder may send all of the context to the engine, and `COPY . .` puts all of it into a layer"),
            _(
                "name in {file} what the image does not need; a pattern begins at the top of the context, unless `**/` stands "
                "before it",
                file=".dockerignore",
            ),
        )


@check(points=3, needs=[answers])
def cheap_edit(work: Work) -> None:
    """After an edit of rate.py, the image runs the new program, and its new layers have half a MiB at most."""
    folder, word, number = work.copy(), f"edit-{work.random.getrandbits(32):x}", work.random.randrange(10**6)
    program, loop = folder / "rate.py", "for line in sys.stdin:"
    program.write_text(program.read_text().replace(loop, f"words[{word!r}] = {number}\n\n{loop}"))
    before, after = image(work), work.build("edited", folder)
    asked(
        work,
        after,
        {word: number * factor(work.folder, "1.0")},
        _(
            "the check has taught {program} one word more and has built the image again: it must run the new program",
            program="rate.py",
        ),
        _(
            "{copy} {program} itself; a program that is written into the Dockerfile never changes",
            copy="COPY",
            program="rate.py",
        ),
    )
    if (new := after.beyond(before, enough=EDITED)) > EDITED:
        if work.build("edited").layers != before.layers:  # the very same files
            raise BoxlabError(
                _("the engine does not keep what it has built"),
                _("check again; its build cache may be too small, or emptied by others (`docker builder prune`)"),
            )
        raise Mismatch(
            _("the layers that are new after an edit have at most {size:.1f} MiB", size=EDITED / MIB),
            _(
                "the lowest {same} of {layers} layers are the same, and the new ones have {size:.1f} MiB",
                same=before.common(after),
                layers=len(after.layers),
                size=new / MIB,
            ),
            _(
                "from the first line on whose files have changed, each line is run again, in every stage; and what is new "
                "has to be sent to each machine again"
            ),
            _(
                "no line before the install may copy or mount {program}, none after it may touch what was installed or copied "
                "({copy} gives an owner at once), and the line that copies {program} takes nothing large along ({all} does)",
                program="rate.py",
                copy="COPY --chown",
                all="`COPY . .`",
            ),
        )


@check(points=2, needs=[answers])
def nothing_stale(work: Work) -> None:
    """After a change of requirements.txt and data/words.json, the image has the new packages and the new words."""
    folder, release = work.copy(), f"2.{work.random.randrange(10**6)}"
    words = {f"new-{work.random.getrandbits(32):08x}": work.random.randrange(10**6) for _word in range(WORDS)}
    times = work.random.randrange(2, 10**6)
    release_to(folder, release, times, work.random)
    release_to(folder, "3.0", times + 1, work.random)  # which nobody asks for
    (folder / "requirements.txt").write_text(f"weighting=={release}\n")
    (folder / "data" / "words.json").write_text(json.dumps(words))
    why = _(
        "the check has added two releases, asked for one in {requirements}, and changed {words}: a new image must have both",
        requirements="requirements.txt",
        words="data/words.json",
    )
    next = _(
        "{copy} both files, and let the install read {requirements}; a version that the Dockerfile or {ignore} names goes stale",
        copy="COPY",
        ignore=".dockerignore",
        requirements="requirements.txt",
    )
    try:
        made = work.build("changed", folder)
    except Mismatch as error:  # the files as they were are built
        raise Mismatch(error.expected, error.actual, why, next) from error
    asked(work, made, {word: number * times for word, number in words.items()}, why, next)

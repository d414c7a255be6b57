"""Lab 11: a build uses a token, and leaves it in no layer, setting, stage or log."""

import hashlib
import json
import re
import secrets
import shlex
import time
from functools import cache
from pathlib import PurePosixPath
from random import Random

from boxlab.labs import AS_USUAL, Mismatch, Work, _, check, same
from boxlab.labs.build import COMMENT, GOES_ON
from boxlab.labs.traces import shows

TOKEN = "token.txt"

WORDS = 3
"""How many words are asked for; a number of six digits that was not read is right once in 10**6 times."""

MOUNT = re.compile(r"--mount=(\S+)", re.IGNORECASE)
"""What a line says of something that it mounts."""

SEEN = """FROM containers-measured/base
USER 0
RUN --mount={mount} mkdir /seen && find {target} -type f -size -1024k {newer} -exec cp --parents {{}} /seen ';' && : {nonce}
"""
"""Copies into a layer what a mount shows; of a cache, what is newer than the answer's build, as the rest is of others. The nonce has it run
anew."""


def plant(folder, random: Random) -> None:
    """A token of the learner's, and the model that it opens."""
    seal(folder, f"token-{random.getrandbits(256):064x}", drawn(random))


def drawn(random: Random) -> dict[str, int]:
    """A model: what each word is worth."""
    return {f"word-{random.getrandbits(32):08x}": random.randrange(10**6) for _word in range(50)}


def seal(folder, token: str, model: dict[str, int]) -> None:
    """Lay a token into a folder, and a model that only this one opens: the reverse of unlock.py."""
    content = json.dumps(model).encode()
    stream = hashlib.shake_256(token.encode()).digest(len(content))
    packed = bytes(one ^ other for one, other in zip(content, stream, strict=True))
    (folder / "model.sealed").write_bytes(hashlib.sha256(content).digest() + packed)
    (folder / TOKEN).write_text(f"{token}\n")


@cache
def sealed(work: Work) -> tuple[str, dict[str, int]]:
    """The token that this check has drawn, and the model that it has sealed with it."""
    token, model = f"token-{secrets.token_hex(32)}", drawn(work.random)
    seal(work.folder, token, model)
    return token, model


def given(token: str) -> dict[str, dict[str, str]]:
    """The token as the pipeline offers it, beside the file."""
    return {"arguments": {"TOKEN": token}, "secrets": {"token": f"{token}\n"}}


@cache
def began(work: Work) -> float:
    """When the learner's files were given to the builder, by the clock that `time.monotonic` has."""
    return time.monotonic()


@cache
def image(work: Work):
    """What the learner's files build; not from the cache, which does not ask whether a secret is another one."""
    began(work)
    return work.build(**given(sealed(work)[0]), cached=False, based=True)


def in_layers(made, token: str) -> str:
    """In words, in which file of which layer a token is; empty where in none. What the layers have, stays."""
    with made.files() as files:
        for layer, path, content in files:
            if shows(path.encode(), token) or shows(content, token):
                return _(
                    "it is in layer {layer} of {layers}, in {path}, as it is or in another form",
                    layer=layer + 1,
                    layers=len(made.layers),
                    path=path,
                )
    return ""


def in_settings(made, token: str) -> str:
    """In words, whether a token is in an image's settings or history; empty where it is not."""
    if not shows(made.described().encode(), token):
        return ""
    return _("it is in what `docker inspect` and `docker history` show")


def in_mounts(work: Work, token: str) -> str:
    """In words, in which cache, or part of the context, that a line mounts a token is; empty where in none, or where it cannot be mounted on
    its own."""
    lines = GOES_ON.sub("", COMMENT.sub("", work.text("Dockerfile")))
    for mount in sorted({found.replace('"', "").replace("'", "") for found in MOUNT.findall(lines)}):
        options = {name.lower(): value for name, _equals, value in (part.partition("=") for part in mount.split(","))}
        kind = options.get("type", "bind").lower()
        if "from" in options or kind not in ("bind", "cache"):
            continue
        target = PurePosixPath("/", *(options[name] for name in ("target", "dst", "destination") if name in options))
        folder, nonce = work.copy(), secrets.token_hex(8)
        minutes = (time.monotonic() - began(work)) / 60 + 0.01
        newer = f"-cmin -{minutes:.2f}" if kind == "cache" else ""
        text = SEEN.format(mount=mount, target=shlex.quote(str(target)), newer=newer, nonce=nonce)
        (folder / "Dockerfile").write_text(text)
        try:
            made = work.build("seen", folder)
        except Mismatch:  # a variable in it, or a quotation
            continue
        if in_layers(made, token):
            if kind == "cache":
                return _("it is in the cache that a line mounts at {target}", target=target)
            return _("it is in what a line mounts of the context, at {target}", target=target)
    return ""


def in_output(made, token: str) -> str:
    """In words, whether the build of an image has printed a token; empty where it has not."""
    return _("it is in what the build prints") if shows(made.output.encode(), token) else ""


@check(points=1)
def builds(work: Work) -> None:
    """The image builds with the token of this check, without a network."""
    image(work)


@check(points=2, needs=[builds])
def answers(work: Work) -> None:
    """The program in the container answers from the opened model."""
    model = sealed(work)[1]
    with work.container(image(work), **AS_USUAL) as box:
        for word in work.random.sample(sorted(model), WORDS):
            same(
                f"{word}: {model[word]}",
                f"{word}: {box.ask(word, next=_('`docker run --rm --interactive IMAGE`, and type a word'))}",
                why=_("the check has sealed a new model: only a build that opens it can know its numbers"),
                next=_(
                    "the program needs, beside it, the {model} that {program} makes of {sealed}",
                    model="model.json",
                    program="unlock.py",
                    sealed="model.sealed",
                ),
            )


@check(points=3, needs=[answers])
def not_in_layers(work: Work) -> None:
    """The token is in no file of any layer, neither as it is nor encoded or packed."""
    if found := in_layers(image(work), sealed(work)[0]):
        raise Mismatch(
            _("the token is in no layer"),
            found,
            _("who has the image has all of its layers; a file that a later line deletes is still in the layer below"),
            _(
                "no line may copy {file}: copy the other files by name, or name it in {ignore}, and mount the token as a secret",
                file=TOKEN,
                ignore=".dockerignore",
            )
            if TOKEN in found
            else _("mount the token for the one line that needs it, and let that line write it nowhere"),
        )


@check(points=2, needs=[answers])
def not_in_settings(work: Work) -> None:
    """The token is in no setting of the image, and not in its history."""
    if found := in_settings(image(work), sealed(work)[0]):
        raise Mismatch(
            _("the token is in no setting, and not in the history"),
            found,
            _(
                "{env} is a setting of the image, and each {run} notes the values of {arg} that it was given",
                env="ENV",
                run="RUN",
                arg="ARG",
            ),
            _("`docker history --no-trunc IMAGE` shows the line; mount the token in place of giving it as a value"),
        )


@check(points=2, needs=[not_in_layers, not_in_settings])
def not_left_behind(work: Work) -> None:
    """The token is in no earlier stage and no cache mount, which the builder keeps, not in what the build prints, and need not be in
    the context."""
    token = sealed(work)[0]
    if in_output(image(work), token):
        raise Mismatch(
            _("the build does not print the token"),
            _("it does"),
            _("what a build prints is kept with it, and many can read that"),
            _("let no line print it, `set -x` and `cat` neither"),
        )
    for number, stage in enumerate(work.stages(**given(token), cached=False), start=1):
        if found := in_layers(stage, token) or in_settings(stage, token) or in_output(stage, token):
            raise Mismatch(
                _("the token is in no stage"),
                _("stage {number}: {found}", number=number, found=found),
                _(
                    "the build cache keeps what each line of a stage has made, and {command} gives it to all who can build here",
                    command="`docker build --target`",
                ),
                _("mount the token in that stage, too, and neither copy it nor take it as an argument"),
            )
    if found := in_mounts(work, token):
        raise Mismatch(
            _("the token is in nothing that a line mounts but the secret"),
            found,
            _(
                "a cache stays on the machine that builds, and so does what it was sent of the context; each build there can mount them"
            ),
            _(
                "let the line that has the token write it nowhere, and name {file} in {ignore}",
                file=TOKEN,
                ignore=".dockerignore",
            ),
        )
    folder = work.copy()
    (folder / TOKEN).unlink()
    try:
        work.build("without", folder, **given(token))  # a line that comes from the cache does not read the file
    except Mismatch as error:
        raise Mismatch(
            _("the image builds where {file} is not in the context", file=TOKEN),
            error.actual,
            _("what a build reads of its context is sent to the builder, which may be another machine, and keeps it"),
            _(
                "mount the secret, and not the file; name {file} in {ignore}",
                file=TOKEN,
                ignore=".dockerignore",
            ),
        ) from error

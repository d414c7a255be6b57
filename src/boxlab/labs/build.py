"""Build a learner's image as `docker build` would, and look into it; what stays has a name of ours."""

import contextlib
import itertools
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker.errors

from boxlab import builder, client, engine, images, layers, marks, paths
from boxlab.errors import EngineError
from boxlab.labs.checks import SLACK, Mismatch, next_difference, printed
from boxlab.language import _

CHATTER = ("DEPRECATED: ", "            Install the buildx", "            https://", "Sending build context")
"""How lines of `docker build` begin that say nothing of the learner's build."""

ASKED_A_REGISTRY = _(
    "a name after FROM or {option} that is no image here and no stage is looked for at a registry, and so is the builder that "
    "a first line `# syntax=` names, unless it is Docker's own: leave that out; the stages build on {base}",
    option="--from=",
    base=f"{images.PREFIX}base",
)
"""What to do where a build has wanted to fetch an image."""

GRADED_ELSEWHERE = _("where your answer is graded, there is no network, and no other image is sure to be there")


MOST_MIB = 1024
"""How large a file of an image may be that is read whole, and what an image may have above the base to be saved."""

CONTROL_S = 60
"""How long the build may take that tells whether any works."""

FLAGS = {
    "RUN": {"device", "mount", "network", "security"},
    "COPY": {"chmod", "exclude", "link", "parents"},
    "ADD": {"checksum", "chmod", "exclude", "keep-git-dir", "link", "unpack"},
    "HEALTHCHECK": {"start-interval"},
}
"""What an instruction can have, as the newest builders know it, and older ones do not."""

BUILDKITS = re.compile(
    r"requires? BuildKit|unexpected key 'env' in|invalid field 'required' must"
    r"|(?:line (?P<line>\d+): *)?unknown flag: -*(?P<flag>[a-z-]+)",
    re.IGNORECASE,
)
"""What a builder says of a line that a newer one understands, and of a flag that none may understand there."""

HERE_DOCUMENT = re.compile(r"^\s*(?:RUN|COPY|ADD)\b.*<<-?[\"']?\w", re.IGNORECASE | re.MULTILINE)
"""A line whose text stands below it. The classic builder runs it without that text, and says nothing."""

DOCUMENT = re.compile(
    r"^[ \t]*(?:RUN|COPY|ADD)\b.*<<-?([\"']?)(?P<end>\w+)\1.*\n(?:.*\n)*?[ \t]*(?P=end)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""The same with that text, to its end."""

COMMENT = re.compile(r"^[\ufeff \t]*#.*\n?", re.MULTILINE)
"""A line that the builder does not read, also between the lines of one that goes on."""

GOES_ON = re.compile(r"[\\`][ \t]*\n[ \t]*")
"""Where a line goes on below."""

LINT = re.compile(r"^#[ \t]*check[ \t]*=.*$", re.IGNORECASE | re.MULTILINE)
"""What tells BuildKit which of its warnings are errors."""

_DIRECTIVES = r"(?:#[ \t]*(?:check|escape)[ \t]*=.*\n)*"

FRONTEND = re.compile(
    rf"\A({_DIRECTIVES})#[ \t]*syntax[ \t]*=[ \t]*(?:docker\.io/)?docker/dockerfile(?:[:@]\S*)?[ \t]*(?:\n|\Z)({_DIRECTIVES})",
    re.IGNORECASE,
)
"""The line that has BuildKit fetch Docker's own frontend, with the other directives around it, which end at the first comment."""

EXCERPT = re.compile(r"\s*\d+ \| ")
"""How a line begins that a builder prints of the Dockerfile, not of what happened."""

STEPS_OWN = re.compile(r"(?:#\d+ )?\d+\.\d+ ")
"""How a line begins that a step of a build has printed itself."""

_GAP = r"(?:[ \t]|[\\`][ \t]*\n(?:[ \t]*(?:#.*)?\n)*)+"
"""Between two words of a line, which may go on below, and below comments."""

FROM = re.compile(
    rf"^[ \t]*FROM{_GAP}(?:--platform=\S+{_GAP})?\S+(?:{_GAP}AS{_GAP}(?P<name>\S+))?[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""A line that begins a stage."""

NOT_A_STAGE = re.compile(
    r"target stage .* could not be found|failed to reach build target|invalid target", re.IGNORECASE
)
"""What a builder says of a stage that is not there."""

UNSEEN = re.compile(
    r"no space left|quota exceeded|rpc error: code = (Unavailable|Internal|DeadlineExceeded|ResourceExhausted)|error reading from server|transport is closing"
    r"|Cannot connect to the Docker daemon|failed to connect to the docker API|error during connect",
    re.IGNORECASE,
)
"""What the machine says in the middle of a build that it could not do to its end, though another may work a moment later."""


@dataclass(frozen=True)
class Image:
    """An image that a check has built.

    Attributes:
        layers: ids of its layers, lowest first.
        on_base: whether it stands on the base image.
        output: the end of what the build has printed.
    """

    id: str
    tag: str
    layers: tuple[str, ...]
    on_base: bool
    output: str = ""

    @cached_property
    def added(self) -> int:
        """Bytes above the base image, as unpacked layers; all of it, where it does not stand on that.

        Raises:
            EngineError: the engine is in the way.
        """
        with engine.plain_errors():
            beneath = _inspect(images.PREFIX + "base")["RootFS"]["Layers"] if self.on_base else []
        return self._bytes(set(beneath))

    def beyond(self, other: "Image", enough: int = 0) -> int:
        """Bytes of the layers that the other does not have, unpacked: what is sent to a machine that has the other.

        Args:
            enough: where these are no more, as much as `docker history` says at once is told; to save an image takes longer.

        Raises:
            EngineError: the engine is in the way.
        """
        same = self.common(other)
        with engine.plain_errors():
            sizes = _sizes(self.tag)
        # A line without a size may have made an empty layer or none, and a layer above a new one may be the other's, by
        # `COPY --link`: this is never less than the new layers have.
        most = sum([size for size in sizes if size][: len(self.layers) - same])
        return most if most <= enough else self._bytes(set(other.layers))

    def _bytes(self, without: set[str]) -> int:
        sizes = layers.unpacked(self.tag, without)
        return sum(sizes.get(layer, 0) for layer in self.layers)

    def common(self, other: "Image") -> int:
        """How many of its lowest layers it has in common with another."""
        return next_difference(self.layers, other.layers)

    def described(self) -> str:
        """What everybody can read of it without running it: its settings, and the lines that made it.

        Raises:
            EngineError: the engine is in the way.
        """
        with engine.plain_errors():
            return json.dumps([_inspect(self.tag), engine.connect().api.history(self.tag)])

    @contextlib.contextmanager
    def files(self) -> Iterator[Iterator[tuple[int, str, bytes]]]:
        """Layer number, path and content of each file above the base image, deleted ones as well: what a layer has, stays.

        The content of a link is its target. Deletions themselves are files whose names begin with ".wh.".

        Raises:
            Mismatch: there is more of them than can be read (`MOST_MIB`).
            EngineError: the engine is in the way.
        """
        with engine.plain_errors():
            base = images.base_of(self.layers)
            beneath = set(base.attrs["RootFS"]["Layers"]) if base else set()
            sizes = _sizes(self.tag)
        _require_size("", sum([size for size in sizes if size][: len(self.layers) - len(beneath)]))

        def each(archive: tarfile.TarFile) -> Iterator[tuple[int, str, bytes]]:
            for number, (layer, file) in enumerate(layers.layer_files(archive, self.layers)):
                if layer in beneath:
                    continue
                with tarfile.open(fileobj=file, mode="r:*") as opened:
                    for member in opened:
                        _require_size(member.name, member.size)
                        content = opened.extractfile(member) if member.isfile() else None
                        yield number, member.name, content.read() if content else member.linkname.encode()

        if not self.layers:
            yield iter(())
            return
        with layers.saved(self.tag) as archive:
            yield each(archive)


def _sizes(tag: str) -> list[int]:
    """Of what each line of an image has made, the newest first; one that has no layer has none."""
    return [line["Size"] for line in engine.connect().api.history(tag) or ()]


class Unbuilt(Mismatch):
    """A Dockerfile does not build.

    Attributes:
        line: where the instruction begins that fails, from 1 on; 0 where the builder does not say.
    """

    line = 0


class NoStage(Exception):
    """A Dockerfile has no such stage."""


def _require_size(file: str, size: int) -> None:
    """See that a file of an image, or by default what the image has above the base, is not too large to be looked into.

    Raises:
        Mismatch: it is.
    """
    if size > MOST_MIB << 20:
        what = file or _("the image, above the base image,")
        raise Mismatch(
            _("{what} has at most {size} MiB", what=what, size=MOST_MIB),
            _("{size} MiB", size=size >> 20),
            _("it is too large to be looked into"),
            _("leave out of the image what the program does not need"),
        )


def build(
    folder: Path,
    name: str,
    seconds: float,
    arguments: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    target: str = "",
    known: dict[str, bytes] | None = None,
    cached: bool = True,
    based: bool = False,
) -> Image:
    """Build the image of a folder as `docker build` would. It has no network, so that it does not depend on one: where the
    Dockerfile asks for Docker's own frontend, it gets the one that BuildKit brings along.

    Args:
        folder: the context, with a Dockerfile.
        name: the tag is made of it.
        seconds: how long it may take.
        arguments, secrets, target, cached: as for `builder.build`.
        known: files of an answer that is right, which shows whether one builds in a part of that time here (`SLACK`).
        based: whether it has to stand on the base image: another may be here, and not where the answer is graded.

    Raises:
        Mismatch: it does not build, or not in time though the other does, or takes something of an image that is not the book's, or
            stands on none.
        NoStage: the target is not there.
        EngineError: the engine is in the way, or knows no secrets.
    """
    tag = images.passing(f"lab-{name}")
    path = folder / "Dockerfile"
    text = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    classic = builder.chosen() in (builder.Way.CLASSIC, builder.Way.CALL) and not engine.is_podman()
    if classic and (found := HERE_DOCUMENT.search(text)):
        raise _lacking(found[0].strip())
    if foreign := _foreign(text):
        raise Mismatch(
            _("each stage stands on {base}, on a stage above it, or on nothing", base=f"{images.PREFIX}base"),
            foreign,
            GRADED_ELSEWHERE,
            ASKED_A_REGISTRY,
        )
    own_frontend = FRONTEND.sub(r"\1\2#\n", text)  # as many lines
    with builder.staged(folder, {"Dockerfile": own_frontend.encode()} if own_frontend != text else None) as context:
        for repeated in (False, True):
            built = _built(context, tag, seconds, arguments, secrets, target=target, keep=True, cached=cached)
            if not built.trouble:
                break
            if target and NOT_A_STAGE.search(built.output):
                raise NoStage
            _require_builder(built.output, text)
            if built.trouble == "late" and known:
                with builder.staged(folder, {**known}) as right:
                    control = _control(right, seconds / SLACK, arguments, secrets)
                if control.trouble == "late":  # where it fails otherwise, it says nothing of the machine
                    raise _not_here(control, seconds / SLACK)
            if repeated or built.trouble == "late":  # what fails once may have been disturbed by what runs beside it
                raise _mistake(built, seconds, by_hand(arguments, secrets))
    with engine.plain_errors():
        image = _inspect(tag)
        own = tuple(image["RootFS"].get("Layers") or ())  # settings alone make no layer
        made = Image(image["Id"], tag, own, images.base_of(own) is not None, built.output)
    if based and not made.on_base:
        raise Mismatch(
            _("the image stands on {base}", base=f"{images.PREFIX}base"),
            _("it stands on another image, or on none"),
            GRADED_ELSEWHERE,
            _("begin the last stage with {line}", line=f"`FROM {images.PREFIX}base`"),
        )
    return made


def _built(
    context: Path,
    tag: str,
    seconds: float,
    arguments: dict[str, str] | None,
    secrets: dict[str, str] | None,
    **more: Any,
) -> builder.Build:
    """One build of a lab's, without a network; `more` as for `builder.build`."""
    return builder.build(
        context,
        tag,
        labels=engine.labels("lab"),
        arguments=arguments,
        secrets=secrets,
        network="none",
        seconds=seconds,
        **more,
    )


def stages(
    folder: Path,
    name: str,
    seconds: float,
    arguments: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    known: dict[str, bytes] | None = None,
    cached: bool = True,
) -> Iterator[Image]:
    """The image of each stage of a folder's Dockerfile but the last, which is what `build` makes, as `docker build --target` makes
    it; each replaces the one before. Of a stage that does not build, as the image did without it, that is what stands above the
    line that fails.

    Arguments as for `build`.

    Raises:
        EngineError: the engine is in the way.
    """
    text, names = stage_names((folder / "Dockerfile").read_text(encoding="utf-8-sig"))
    with builder.staged(folder, {"Dockerfile": text.encode()}) as context:
        for stage in names[:-1]:
            try:
                image = build(context, f"{name}-stage", seconds, arguments, secrets, stage, known, cached)
            except NoStage:  # a line that only looks like FROM
                continue
            except Unbuilt as error:
                above = "".join(text.splitlines(keepends=True)[: max(0, error.line - 1)])
                try:
                    with builder.staged(folder, {"Dockerfile": above.encode()}) as cut:
                        image = build(cut, f"{name}-stage", seconds, arguments, secrets, stage, known, cached)
                except (NoStage, Mismatch):  # nothing stands above it
                    continue
            yield image


def stage_names(text: str) -> tuple[str, list[str]]:
    """A Dockerfile in which each stage has a name, and these names: BuildKit stops after no stage that has none.

    It has as many lines, and nothing that asks the builder to refuse what it would only warn of.
    """
    names: list[str] = []
    documents = [document.span() for document in DOCUMENT.finditer(text)]

    def named(line: re.Match[str]) -> str:
        if any(begin < line.start() < end for begin, end in documents):
            return line[0]
        names.append(line["name"] or f"boxlab-{len(names)}")
        return line[0] if line["name"] else f"{line[0].rstrip()} AS {names[-1]}"

    return LINT.sub("#", FROM.sub(named, text)), names


def _foreign(text: str) -> str:
    """The first line of a Dockerfile that names an image which is no stage of it and none of the book's; nothing where none does."""
    stages = {"scratch"}
    for line in GOES_ON.sub(" ", COMMENT.sub("", DOCUMENT.sub("", text))).splitlines():
        instruction, *words = line.split() or [""]
        options = list(itertools.takewhile(lambda word: word.startswith("--"), words))
        match instruction.upper(), words[len(options) :]:
            case "FROM", [below, *named]:
                names = [below]
            case "COPY" | "RUN", _rest:  # what a program is told behind them is its own
                names, named = re.findall(r"\bfrom=[\"']?([^\s,\"']+)", " ".join(options), re.IGNORECASE), []
            case _:
                continue
        for name in names:
            known = name.lower() in stages or name.isdigit() or "$" in name
            if not known and not name.removeprefix("docker.io/").startswith(images.PREFIX):
                return line.strip()
        stages |= {name.lower() for name in named[1:]}
    return ""


def _lacking(line: str) -> EngineError:
    """What to say of a line that is right, and that this engine's builder does not know."""
    return EngineError(
        _("the builder of this engine lacks what the Dockerfile asks for: {line}", line=printed(line)),
        _(
            "install {package}, with a current engine; or do without: COPY, RUN and stages of their own are known everywhere",
            package="docker-buildx",
        ),
    )


def too_new(said: str, text: str) -> bool:
    """Whether a line that a builder says of a Dockerfile with that text means that a newer one would build it."""
    if not (found := BUILDKITS.search(said)) or not found["flag"]:
        return bool(found)
    known = set().union(*FLAGS.values())
    if found["line"]:
        words = [word.upper() for word in "".join(text.splitlines()[int(found["line"]) - 1 :][:1]).split()]
        known = FLAGS.get(next((word for word in words if word != "ONBUILD"), ""), set())
    return found["flag"].lower() in known


def _require_builder(output: str, text: str) -> None:
    """See that it was not the machine's fault that a build of a Dockerfile with that text failed, nor the builder's."""
    engine.ping()
    said = [line for line in _said(output) if not EXCERPT.match(line)]
    own_disk = "tmpfs" in text.lower()  # which may be full where the machine's has room
    if found := next((line for line in said if UNSEEN.search(line) and not (own_disk and STEPS_OWN.match(line))), ""):
        raise engine.explain(OSError(printed(found)))
    if found := next((line for line in said if too_new(line, text)), ""):
        raise _lacking(found)
    _require_build()


def _said(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.strip() and not line.startswith(CHATTER)]


def by_hand(arguments: dict[str, str] | None, secrets: dict[str, str] | None) -> str:
    """The command by which a learner builds as the check did, without values and files."""
    options = [f"--build-arg {name}=…" for name in arguments or ()]
    options += [f"--secret id={name},src=…" for name in secrets or ()]
    return " ".join(["docker build --network=none", *options, "."])


def _last_words(output: str) -> str:
    """What a build that has failed says of it: what the step has printed that BuildKit names again, and else the last lines."""
    lines = _said(output)
    begins = max((number for number, line in enumerate(lines) if line.startswith(" > [")), default=None)
    if begins is None:
        return printed("\n".join(lines[-6:]))
    step = [*itertools.takewhile(lambda line: line.strip("-"), lines[begins:])]
    return printed("\n".join([step[0], *step[1:][-6:], lines[-1]]))


def _mistake(built: builder.Build, seconds: float, command: str) -> Mismatch:
    """What to tell a learner whose files build no image; `command` builds them by hand."""
    last = _last_words(built.output)
    why = _("no image, nothing to check")
    if built.trouble == "late":
        return Mismatch(
            _("`docker build` ends within {seconds:g} s", seconds=seconds),
            _("it was still at:\n{lines}", lines=last),
            why,
            _("run `{command}` in your folder and see which line does not end", command=command),
        )
    wrong = Unbuilt(
        _("`docker build` ends well, without a network"),
        _("it ended with:\n{lines}", lines=last),
        why,
        ASKED_A_REGISTRY
        if re.search(r"pull access denied|no such host|failed to resolve|dial tcp|manifest unknown", built.output)
        else _(
            "mend the line of the Dockerfile that is named last, or the one that should have given it its files and rights "
            "({names}); `{command}` in your folder says the same",
            names="COPY, USER, .dockerignore",
            command=command,
        ),
    )
    if found := re.findall(r"^Dockerfile:(\d+)$", built.output, re.MULTILINE):
        wrong.line = int(found[-1])
    return wrong


def _require_build() -> None:
    """See that an image can be built here at all: a control, with one step on the base image, by the way of the learner's.

    Raises:
        EngineError: none can, so that whatever is not built is not the learner's mistake.
    """
    with tempfile.TemporaryDirectory(dir=paths.scratch(), prefix=f"control-{marks.RUN}-") as folder:
        Path(folder, "Dockerfile").write_text(f"FROM {images.PREFIX}base\nRUN true\n")
        control = _control(Path(folder), CONTROL_S)
    if control.trouble:
        raise _not_here(control, CONTROL_S)


def _control(
    context: Path, seconds: float, arguments: dict[str, str] | None = None, secrets: dict[str, str] | None = None
) -> builder.Build:
    """The build of what is known to be right, without the cache; nothing of it stays."""
    tag = images.passing(f"lab-control-{marks.RUN}")
    try:
        return _built(context, tag, seconds, arguments, secrets, cached=False)
    finally:
        with engine.plain_errors(), contextlib.suppress(docker.errors.ImageNotFound):
            engine.connect().images.remove(tag)


def _not_here(control: builder.Build, seconds: float) -> EngineError:
    """What to say where even what is right is not built."""
    said = " | ".join(printed(line) for line in _said(control.output)[-2:])
    if control.trouble == "late":
        said = _(
            "what is right is not built within {seconds:g} s; it was still at: {lines}",
            seconds=seconds,
            lines=said or _("nothing"),
        )
    return EngineError(
        _("`docker build` does not work here: {reason}", reason=said or _("it fails without a word")),
        client.fix_for(control.output),
    )


def _inspect(name: str) -> dict[str, Any]:
    known: dict[str, Any] = engine.connect().api.inspect_image(name)
    return known

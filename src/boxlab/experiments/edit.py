"""What does an edit of one line of a Dockerfile cost? Seconds to build again and bytes to send, by BuildKit and the classic builder."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

from boxlab import builder, engine, images, layers, marks, records
from boxlab.experiments import blocks
from boxlab.experiments.dockerfile import built, workplace
from boxlab.language import _

DOCKERFILE = """FROM {base}
{label}
ENV MODE={env}
WORKDIR /{workdir}
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt # {run}
COPY app.py .
CMD ["python3", "app.py", "{command}"]
"""

REQUIREMENTS = "humanize==4.12.3\n# {requirements}\n"

PROGRAM = """import humanize

print(humanize.naturalsize(10**9))
# {program}
"""

BUILDERS = {
    "buildkit": (builder.Way.BUILDX, builder.Way.BUILDKIT),
    "classic": (builder.Way.CLASSIC, builder.Way.CALL),
}
"""The ways to build with each builder, best first."""

ARMS = {
    "env-buildkit": _("ENV, BuildKit"),
    "env-classic": _("ENV, classic builder"),
    "workdir-buildkit": _("WORKDIR, BuildKit"),
    "workdir-classic": _("WORKDIR, classic builder"),
    "requirements-buildkit": _("requirements.txt, BuildKit"),
    "requirements-classic": _("requirements.txt, classic builder"),
    "run-buildkit": _("RUN, BuildKit"),
    "run-classic": _("RUN, classic builder"),
    "program-buildkit": _("app.py, BuildKit"),
    "program-classic": _("app.py, classic builder"),
    "command-buildkit": _("CMD, BuildKit"),
    "command-classic": _("CMD, classic builder"),
}
"""What is edited, from the top of the Dockerfile to its end, and what builds it again."""

METRICS = {
    "seconds": {"unit": "s", "label": _("build after the edit")},
    "sent": {"unit": "B", "label": _("new layers, compressed")},
    "layers": {"unit": "1", "label": _("new layers")},
}

MEASURES = (
    "t0: `docker build` is called. t1: it has ended. The round that is discarded builds the image as it was, once by each builder; "
    "before each further one, "
    "one word of one line, or of the file that it copies, is changed. New layers are those that the same arm's image did not have "
    "before the edit: their archives, compressed, as a push would send them. Packages come from the network, or a cache of it."
)


@dataclass(frozen=True)
class Edited:
    """One arm: what is edited, and how it is built."""

    line: str
    way: builder.Way


def edit(**options: Unpack[blocks.Options]) -> records.Record:
    """Edit one line, build again, and see what is new; each line with each builder. Arguments as for `startup`.

    None of the images stays.

    Raises:
        BuildError: the image does not build, with its last words.
        EngineError: the engine does not answer.
    """
    images.ensure("base")
    ready: dict[str, Edited] = {}
    left_out = {}
    for kind in ARMS:
        line, _dash, name = kind.partition("-")
        ways = [way for way in BUILDERS[name] if way in builder.ways()]
        if ways:
            ready[kind] = Edited(line, ways[0])
        else:
            left_out[kind] = {"reason": _("this engine does not have this builder"), "phases": []}
    with workplace() as folder:
        return blocks.run(
            "edit",
            [
                {"kind": kind, "emulated": False, "phases": {}, "details": {"line": arm.line, "builder": arm.way}}
                for kind, arm in ready.items()
            ],
            partial(_measure, folder, ready, {}),
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            usual=lambda profile: profile.steady // 2,  # a round is twelve builds, half of them slow
            **options,
        )


def _measure(
    folder: Path,
    ready: dict[str, Edited],
    was: dict[str, tuple[records.Sample, list[str]]],
    record: records.Record,
    sample: records.Sample,
) -> None:
    """Build an arm's image again after an edit of its line; `was` notes its first sample, and which layers it had before."""
    arm, tag = ready[sample.arm], images.passing(f"edit-{sample.arm}")
    if sample.discarded:
        with engine.plain_errors():
            engine.connect().api.tag(_unedited(folder, sample.arm.partition("-")[2], arm.way), tag)
        return
    before = layers.hashes(tag)
    lay_out(folder / sample.arm, {arm.line: f"edited-{marks.RUN}-{sample.round}"})
    sample.values["seconds"] = built(folder / sample.arm, tag, way=arm.way, labelled=True, timed=True)
    if sample.arm not in was:  # what is new is the same in every round
        was[sample.arm] = sample, before
        if len(was) == len(ready):  # the last: what they share is saved once
            _note_new(was)


def _note_new(was: dict[str, tuple[records.Sample, list[str]]]) -> None:
    """Note in each arm's sample how many layers its image has that it had not before, and how large they are."""
    tags = {kind: images.passing(f"edit-{kind}") for kind in was}
    found = layers.layers(*tags.values(), without=set.intersection(*(set(before) for _sample, before in was.values())))
    for kind, (sample, before) in was.items():
        new = [layer for layer in found if tags[kind] in layer.images and layer.id not in before]
        sample.values["sent"] = sum(layer.compressed for layer in new)
        sample.values["layers"] = len(new)


def _unedited(folder: Path, name: str, way: builder.Way) -> str:
    """The tag of the image as it was, which one builder's arms have in common.

    It stays, so that each edit finds all steps above it in the cache.
    """
    tag = images.passing(f"edit-{name}")
    if not (folder / name).exists():
        lay_out(folder / name, {})
        built(folder / name, tag, way=way, labelled=True)
    return tag


def lay_out(folder: Path, edited: dict[str, str]) -> None:
    """The build context of an arm, with other words in the lines that are `edited`; unedited, all arms share the steps."""
    folder.mkdir(exist_ok=True)
    words = dict.fromkeys(("env", "workdir", "requirements", "run", "program", "command"), "as-it-was") | edited
    texts = {"Dockerfile": DOCKERFILE, "requirements.txt": REQUIREMENTS, "app.py": PROGRAM}
    label = "LABEL " + " ".join(f"{name}={value}" for name, value in engine.labels().items())
    for name, text in texts.items():
        (folder / name).write_text(text.format(base=images.own("base"), label=label, **words))
    builder.settle(folder)

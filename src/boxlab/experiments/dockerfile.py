"""One program, and Dockerfiles rung by rung: size, layers, and what an edit of one line costs."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from boxlab import builder, engine, images, layers, marks, paths, records, sweep
from boxlab.errors import NotReady
from boxlab.experiments import blocks
from boxlab.language import _

RUNGS = paths.IMAGES / "rungs"

DATA_MIB = 20
"""Size of what lies beside the program and does not belong into its image."""

IGNORED_FROM = "2"
"""The rung from which a .dockerignore keeps it out."""

LOST, ATTEMPTS = "parent snapshot", 3
"""What containerd says when it removes, while an image is unpacked, what its former version alone had held; seldom, and gone
the next time (moby/buildkit#6521, open)."""

ROUNDS = {"quick": 1, "class": 6, "paper": 10}
"""How often each profile edits and builds again; a round takes many seconds."""

METRICS: dict[str, dict[str, Any]] = {
    "rebuild": {"unit": "s", "label": _("build after an edit of one line")},
    "build": {"unit": "s", "label": _("first build, nothing cached")},
    "unpacked": {"unit": "B", "label": _("above the base image, unpacked")},
    "compressed": {"unit": "B", "label": _("above the base image, compressed")},
    "layers": {"unit": "1", "label": _("layers above the base image")},
    "engine_size": {"unit": "B", "label": _("above the base image, as this engine counts"), "old": True},
}

ARMS = {
    "1-as-written": _("1 as written"),
    "2-dockerignore": _("2 dockerignore"),
    "3-order": _("3 order"),
    "4-removed": _("4 removed"),
    "5-two-stages": _("5 two stages"),
    "4-no-cache-dir": _("4 no cache dir"),
}
"""The rungs, by their files' names; the last one is of older records."""

MEASURES = (
    "t0: `docker build` is called. t1: it has ended. The first round builds with --no-cache; in every further one, one line "
    "of the program is edited. What they build on is there already; packages come from the network, or a cache of it. Sizes "
    "are those of the first build's layers above the base, the compiler's included: their archives, and the same as they travel."
)


def rungs() -> list[Path]:
    """The Dockerfiles, in the order in which the book mends them."""
    return sorted(RUNGS.glob("*.Dockerfile"))


def dockerfile(
    files: list[Path] | None = None,
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Build each Dockerfile once from nothing, and then again after every edit.

    None of the images stays. What BuildKit keeps in its cache stays until it drops it: it cannot be removed by build.

    Args:
        files: Dockerfiles to compare; by default `rungs()`.
        options: as for `startup`; rounds are edits, and one more comes first, the build from nothing.

    Raises:
        BuildError: one does not build, with its last words.
        EngineError: the engine does not answer.
    """
    files = rungs() if files is None else files
    beneath = images.ensure("base").layers
    for name in sorted(set(re.findall(rf"(?m)^FROM {images.PREFIX}([\w-]+)", "\n".join(f.read_text() for f in files)))):
        images.ensure(name)
    with workplace() as folder:

        def measure(record: records.Record, sample: records.Sample) -> None:
            file = next(file for file in files if _kind(file) == sample.arm)
            tag = images.passing(f"rung-{sample.arm}")
            _lay_out(folder, file, version=f"{marks.RUN}-{sample.round}")
            first = sample.round == 0
            took = built(folder, tag, cached=not first, labelled=True, timed=not first)
            sample.values["build" if first else "rebuild"] = took
            sample.values["layers"] = len(layers.hashes(tag)) - len(beneath)
            if first:
                own = layers.layers(tag, without=beneath)
                sample.values["unpacked"] = sum(layer.size for layer in own)
                sample.values["compressed"] = sum(layer.compressed for layer in own)

        return blocks.run(
            "dockerfile",
            [
                {
                    "kind": _kind(file),
                    "emulated": False,
                    "phases": {},
                    "details": {"builder": builder.chosen()},
                }
                for file in files
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: ROUNDS[profile.name],
            warm_up=0,
            before=1,
            **options,
        )


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder to build in; it and every image made meanwhile are gone afterwards."""
    folder = marks.workplace("builds")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        sweep.remove_built()


def _lay_out(folder: Path, file: Path, version: str) -> None:
    """The build context of one rung, with the program's line edited."""
    program = (RUNGS / "app.py").read_text()
    (folder / "app.py").write_text(re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', program))
    shutil.copy(RUNGS / "requirements.txt", folder)
    labels = engine.labels() | {
        f"{engine.LABEL}.rung": _kind(file)
    }  # so that no rung takes another's steps from the cache
    label = "LABEL " + " ".join(f"{name}={value}" for name, value in labels.items())
    (folder / "Dockerfile").write_text(re.sub(r"(?m)^FROM .*$", rf"\g<0>\n{label}", images.on_own(file.read_text())))
    data = folder / "training-data.bin"
    if not data.exists():
        data.write_bytes(os.urandom(DATA_MIB << 20))
    ignore = folder / ".dockerignore"
    if file.name >= IGNORED_FROM:
        ignore.write_text("training-data.bin\nDockerfile\n.dockerignore\n")
    else:
        ignore.unlink(missing_ok=True)
    builder.settle(folder)


def built(
    folder: Path,
    tag: str,
    cached: bool = True,
    way: builder.Way | None = None,
    network: str | None = None,
    labelled: bool = False,
    timed: bool = False,
) -> float:
    """Seconds that a build took, by the engine's best builder or a given one.

    With `labelled`, its Dockerfile gives it our labels, which is one step of the classic builder's less.

    Raises:
        BuildError, EngineError: it failed.
        NotReady: with `timed`, it had to be repeated, and then its steps came from the cache.
    """
    labels = {} if labelled else engine.labels()
    for attempt in range(ATTEMPTS):
        repeated = attempt > 0
        done = builder.build(folder, tag, labels=labels, cached=cached, keep=True, way=way, network=network)
        if not (done.trouble and LOST in done.output):
            break
    if done.trouble:
        raise images.unbuilt(tag, done)
    if timed and repeated:
        raise NotReady(
            _("the engine lost a snapshot, and what was built again found its steps in the cache: no time to count")
        )
    return done.seconds


def _kind(file: Path) -> str:
    return file.name.removesuffix(".Dockerfile")

"""One program, and Dockerfiles that get better rung by rung: size, layers, and what an edit of one line costs."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from boxlab import engine, images, paths, records, sweep
from boxlab.errors import BuildError
from boxlab.experiments import blocks

RUNGS = paths.IMAGES / "rungs"

DATA_MIB = 20
"""Size of what lies beside the program and does not belong into its image."""

IGNORED_FROM = "2"
"""The rung from which a .dockerignore keeps it out."""

METRICS = {
    "rebuild": {"unit": "s", "label": "build after an edit of one line"},
    "build": {"unit": "s", "label": "first build, nothing cached"},
    "size": {"unit": "B", "label": "above the base image"},
    "layers": {"unit": "1", "label": "layers above the base image"},
}

MEASURES = (
    "t0: `docker build` is called. t1: it has ended. The first round builds with --no-cache; in every further one, one line "
    "of the program is edited. Packages come from the network, or a cache of it. Size: what the engine gives for the image, "
    "less its base."
)


def rungs() -> list[Path]:
    """The Dockerfiles, worst first."""
    return sorted(RUNGS.glob("*.Dockerfile"))


def dockerfile(
    files: list[Path] | None = None,
    **options: Unpack[blocks.Options],
) -> records.Run:
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
    base = images.ensure("base").tag
    with engine.plain_errors():
        beneath = engine.connect().api.inspect_image(base)
    with _workplace() as folder:

        def measure(run: records.Run, sample: records.Sample) -> None:
            file = next(file for file in files if _kind(file) == sample.arm)
            tag = images.own(f"rung-{sample.arm}")
            _lay_out(folder, file, version=f"{engine.RUN}-{sample.round}")
            first = sample.round == 0
            took = _docker_build(folder, tag, *(["--no-cache"] if first else []))
            with engine.plain_errors():
                image = engine.connect().api.inspect_image(tag)
            sample.values["build" if first else "rebuild"] = took
            sample.values["size"] = image["Size"] - beneath["Size"]
            sample.values["layers"] = len(image["RootFS"]["Layers"]) - len(beneath["RootFS"]["Layers"])

        return blocks.run(
            "dockerfile",
            [
                {
                    "kind": _kind(file),
                    "label": _kind(file).replace("-", " "),
                    "emulated": False,
                    "phases": {},
                    "details": {},
                }
                for file in files
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady,
            warm_up=0,
            before=1,
            **options,
        )


@contextmanager
def _workplace() -> Iterator[Path]:
    """A folder to build in; it and every image made meanwhile are gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=paths.scratch(), prefix="rungs-"))
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
    (folder / "Dockerfile").write_text(re.sub(r"(?m)^FROM .*$", rf"\g<0>\n{label}", file.read_text()))
    data = folder / "training-data.bin"
    if not data.exists():
        data.write_bytes(os.urandom(DATA_MIB << 20))
    ignore = folder / ".dockerignore"
    if file.name >= IGNORED_FROM:
        ignore.write_text("training-data.bin\nDockerfile\n.dockerignore\n")
    else:
        ignore.unlink(missing_ok=True)


def _docker_build(folder: Path, tag: str, *switches: str) -> float:
    """Seconds that `docker build` took.

    Raises:
        BuildError: it failed, or there is no docker command.
    """
    arguments = [f"--build-arg={name}={value}" for name, value in images.proxies().items()]
    command = [
        "docker",
        "build",
        "--quiet",
        "--force-rm",
        "--tag",
        tag,
        *arguments,
        *switches,
        str(folder),
    ]
    began = time.monotonic()
    try:
        built = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BuildError("the docker command is missing", "install Docker's command line") from error
    took = time.monotonic() - began
    if built.returncode:
        tail = " | ".join((built.stdout + built.stderr).strip().splitlines()[-3:])
        raise BuildError(f"{tag} does not build: {tail}", "is the network there? `docker build` needs it for packages")
    return took


def _kind(file: Path) -> str:
    return file.name.removesuffix(".Dockerfile")

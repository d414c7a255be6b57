"""A small model in an image with the packages that it takes, rung by rung: what is stored, what is sent, and how long it takes."""

import shutil
import time
from pathlib import Path
from typing import Unpack

import docker.errors

from boxlab import builder, engine, images, layers, paths, progress, records
from boxlab.experiments import blocks
from boxlab.experiments.dockerfile import built, workplace
from boxlab.interrupts import deferred
from boxlab.language import _

FOLDER = paths.IMAGES / "learning"

METRICS = {
    "unpacked": {"unit": "B", "label": _("above the base image, unpacked")},
    "compressed": {"unit": "B", "label": _("above the base image, compressed")},
    "run": {"unit": "s", "label": _("run")},
}

ARMS = {
    "1-as-written": _("1 as written"),
    "2-no-compiler": _("2 no compiler"),
    "3-two-stages": _("3 two stages"),
    "4-trimmed": _("4 trimmed"),
    "5-numpy-only": _("5 NumPy only"),
}
"""The rungs, by their files' names."""

MEASURES = (
    "In the first round each image is built, without a network: its packages' wheels are in an image that is there. Sizes are those of the layers above "
    "the base, the compiler's included: their archives, and the same as they travel. Then one of them is run, uncounted: the first run takes "
    "longer, whichever it is of. In every further round each is run. run, t0: the engine is "
    "asked for a container. t1: it has ended and is removed."
)


def learning(**options: Unpack[blocks.Options]) -> records.Record:
    """Build each rung, and run it in each round. Arguments as for `startup`. None of the images stays.

    Each run notes what its program answered.

    Raises:
        BuildError: one does not build, with its last words.
        EngineError: the engine does not answer, or a program fails.
    """
    beneath = _beneath()
    with workplace() as folder:

        def measure(record: records.Record, sample: records.Sample) -> None:
            if sample.round:
                sample.notes["answer"], sample.values["run"] = _ran(_tag(sample.arm))
                return
            _build(folder, sample.arm)
            built_now = [*record.samples, sample]
            if len(built_now) == len(ARMS):  # the last: what they share is saved once
                own = _above(beneath)
                for each in built_now:
                    has = [layer for layer in own if _tag(each.arm) in layer.images]
                    each.values["unpacked"] = sum(layer.size for layer in has)
                    each.values["compressed"] = sum(layer.compressed for layer in has)
                _ran(_tag(sample.arm))  # the first run of all takes longer, and would be one arm's

        return blocks.run(
            "learning",
            [
                {"kind": kind, "emulated": False, "phases": {}, "details": {"builder": builder.chosen()}}
                for kind in ARMS
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady // 2,  # a run takes seconds
            warm_up=0,
            before=1,
            **options,
        )


def prepare() -> None:
    """Build each rung, so that BuildKit has its steps, and we the sizes, when they are asked for again; none of the images stays.

    Raises:
        BuildError: one does not build, with its last words.
        EngineError: the engine does not answer.
    """
    beneath = _beneath()
    with workplace() as folder:
        for kind in progress.steps(_("preparing"), list(ARMS), ARMS.__getitem__):
            _build(folder, kind)
        _above(beneath)


def _beneath() -> tuple[str, ...]:
    """The base image's layers; what else the rungs stand on is there then."""
    for name in ("compiler", "wheels"):
        images.ensure(name)
    return images.ensure("base").layers


def _above(beneath: tuple[str, ...]) -> list[layers.Layer]:
    """What the rungs have above the base."""
    return layers.layers(*map(_tag, ARMS), without=beneath)


def _tag(kind: str) -> str:
    return images.passing(f"rung-learning-{kind}")


def _build(folder: Path, kind: str) -> None:
    _lay_out(folder / kind, kind)
    built(folder / kind, _tag(kind), network="none")


def _ran(tag: str) -> tuple[str, float]:
    """What an image's program has printed in a container of its own, and how many seconds that took."""
    began, container = time.monotonic(), None
    with engine.plain_errors():
        try:
            with deferred():
                container = engine.connect().containers.create(tag, labels=engine.labels(), network_mode="none")
            container.start()
            status, said = container.wait()["StatusCode"], container.logs().decode().strip()
        finally:  # after Ctrl-C as well
            if container:
                container.remove(force=True)
        if status:
            raise docker.errors.ContainerError(container, status, None, tag, said)
    return said, time.monotonic() - began


def _lay_out(folder: Path, kind: str) -> None:
    """The build context of one rung, on this checkout's own images."""
    folder.mkdir(exist_ok=True)
    for name in ("app.py", "predict.py", "weights.json"):
        shutil.copy(FOLDER / name, folder)
    (folder / "Dockerfile").write_text(images.on_own((FOLDER / f"{kind}.Dockerfile").read_text()))
    builder.settle(folder)

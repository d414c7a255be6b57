"""What there is: taken before and after the tests, the difference must be nothing."""

import contextlib
import subprocess
from pathlib import Path

import docker.errors
from docker.models.images import Image

from boxlab import engine, images, paths, sweep

SPARE = 32 << 20
"""Bytes by which what an engine keeps besides may grow: folders, and blocks that are not full."""

BOOKS = ("log", "docker/buildkit/*.db", "docker/buildkit/*/*.db", "containerd/*/*.db")
"""An engine's databases and its log, which grow with all that it does, and never shrink."""

FORMS = 6
"""An image takes its listed size several times: packed, unpacked, and in blocks that are not full."""

KEPT = tuple(f"image {images.PREFIX}{kind}{folder.name}:" for folder in paths.IMAGES.iterdir() for kind in ("", "vm-"))
"""How what is made once for all runs begins: an image of the book, under each of its names."""


def census() -> set[str]:
    """Every process and file of this checkout's, and what is its own on the engine; on an engine of ours, all that is there.

    Without the images that are kept on purpose.
    """
    found = {f"{item.kind} {item.name}" for item in sweep.leftovers(images=True) + sweep.lab_images()}
    if _is_ours():
        found |= _all()
    return {item for item in found if not item.startswith(KEPT)}


def disk() -> tuple[int, dict[str, int]]:
    """What an engine of ours keeps once it has no build cache: bytes on its disk, and the listed size of each named image.

    Nothing of another's engine.
    """
    if not _is_ours():
        return 0, {}
    client = engine.connect()
    client.api.prune_builds(all=True)
    sizes = {image.id: image.attrs["Size"] for image in engine.images() if image.tags}
    folder = Path(engine.host().removeprefix("unix://")).parents[1]
    books = [f"--exclude={book}" for pattern in BOOKS for book in folder.glob(pattern)]
    counted = subprocess.run(
        ["du", "--summarize", "--block-size=1", *books, folder],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(counted.stdout.split()[0]), sizes


def grown(before: tuple[int, dict[str, int]], after: tuple[int, dict[str, int]]) -> int:
    """Bytes that lie on the disk of an engine of ours now, and are not the images' that have come meanwhile."""
    new = sum(size for image, size in after[1].items() if image not in before[1])
    return max(0, after[0] - before[0] - FORMS * new - SPARE)


def _is_ours() -> bool:
    return str(paths.CACHE) in engine.host()


def _all() -> set[str]:
    """All on the engine, whoever's it is: nobody but the tests uses it."""
    client = engine.connect()
    found = {f"container {c.name}" for c in client.containers.list(all=True, ignore_removed=True)}
    found |= {f"network {n.name}" for n in client.networks.list()}
    found |= {f"volume {v.name}" for v in client.volumes.list()}
    for image in engine.images(all=engine.keeps_packed()):
        found |= {f"image {name}" for name in image.tags or [_made(image)]}
    return found


def _made(image: Image) -> str:
    """What an image without a name is, for whoever looks for what has left it."""
    with contextlib.suppress(docker.errors.NotFound):  # gone meanwhile
        lines = [line["CreatedBy"][:120] for line in image.history()[:4]]
        return f"{image.id} with {image.labels}, made by {lines}"
    return str(image.id)

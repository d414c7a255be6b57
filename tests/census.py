"""What there is: taken before and after the tests, the difference must be nothing."""

from boxlab import engine, images, paths, sweep

KEPT = tuple(f"image {images.PREFIX}{kind}{folder.name}:" for folder in paths.IMAGES.iterdir() for kind in ("", "vm-"))
"""How what is made once for all runs begins: an image of the book, under each of its names."""


def census() -> set[str]:
    """Every process and file of this checkout's, and what is its own on the engine; on an engine of ours, all that is there.

    Without the images that are kept on purpose.
    """
    found = {f"{item.kind} {item.name}" for item in sweep.leftovers(images=True) + sweep.lab_images()}
    if str(paths.CACHE) in engine.host():
        found |= _all()
    return {item for item in found if not item.startswith(KEPT)}


def _all() -> set[str]:
    """All on the engine, whoever's it is: nobody but the tests uses it."""
    client = engine.connect()
    found = {f"container {c.name}" for c in client.containers.list(all=True, ignore_removed=True)}
    found |= {f"network {n.name}" for n in client.networks.list()}
    found |= {f"volume {v.name}" for v in client.volumes.list()}
    for image in client.images.list():
        found |= {f"image {name}" for name in image.tags or [image.id]}
    return found

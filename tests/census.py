"""What there is: taken before and after the tests, the difference must be nothing."""

from pathlib import Path

from boxlab import engine, images, paths, sweep

KEPT = {f"image {images.PREFIX}{folder.name}:latest" for folder in paths.IMAGES.iterdir()}
"""Made once, for all runs: `make clean` removes them."""


def census() -> set[str]:
    """Every container, network, volume and image on the engine, ours or not, and every process and file of ours.

    Without the images that are kept on purpose.
    """
    client = engine.connect()
    found = {f"container {c.name}" for c in client.containers.list(all=True, ignore_removed=True)}
    found |= {f"network {n.name}" for n in client.networks.list()}
    found |= {f"volume {v.name}" for v in client.volumes.list()}
    for image in client.images.list():
        found |= {f"image {name}" for name in image.tags + (image.attrs.get("RepoDigests") or []) or [image.id]}
    found |= {f"{item.kind} {item.name}" for item in sweep.processes() + sweep.scratch_files()}
    return found - KEPT | {f"file {path}" for path in Path("/tmp").glob("boxlab*")}

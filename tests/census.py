"""What there is: taken before and after the tests, the difference must be nothing."""

from pathlib import Path

from boxlab import engine, sweep


def census() -> set[str]:
    """Every container, network, volume and image on the engine, ours or not, and every process and file of ours."""
    client = engine.connect()
    found = {f"container {c.name}" for c in client.containers.list(all=True, ignore_removed=True)}
    found |= {f"network {n.name}" for n in client.networks.list()}
    found |= {f"volume {v.name}" for v in client.volumes.list()}
    for image in client.images.list():
        found |= {f"image {name}" for name in image.tags + (image.attrs.get("RepoDigests") or []) or [image.id]}
    found |= {f"{item.kind} {item.name}" for item in sweep.processes() + sweep.scratch_files()}
    return found | {f"file {path}" for path in Path("/tmp").glob("boxlab*")}

"""What images are made of: layers that are stored once, however many images have them."""

import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from boxlab import engine, paths, progress

GZIP_LEVEL = 6
"""What `docker push` compresses with: the default level of Go's compress/gzip."""

_BLOCK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_AS_GZIP = zlib.MAX_WBITS | 16


@dataclass(frozen=True)
class Layer:
    """One layer: a tar archive of the files that a step of a build changed.

    Attributes:
        id: hash of the archive.
        size: of the archive, in bytes.
        compressed: the same as it travels to and from a registry, in bytes.
        images: the tags, among those asked for, that have it.
    """

    id: str
    size: int
    compressed: int
    images: tuple[str, ...]


def layers(*tags: str) -> list[Layer]:
    """The layers of some images, each once, as `docker save` writes them.

    Raises:
        EngineError: an image is not there, or the engine does not answer.
        OSError: no room for the archive.
    """
    sizes: dict[str, tuple[int, int]] = {}
    owners: dict[str, list[str]] = {}
    for tag in tags:
        with saved(tag) as archive:
            for layer, file in layer_files(archive):
                owners.setdefault(layer, []).append(tag)
                if layer not in sizes:
                    sizes[layer] = _sizes(file, f"{tag}: compress")
    return [Layer(layer, *sizes[layer], tuple(owners[layer])) for layer in sizes]


@contextmanager
def saved(tag: str) -> Iterator[tarfile.TarFile]:
    """An image as `docker save` writes it.

    Raises:
        EngineError: it is not there, or the engine does not answer.
        OSError: no room for the archive.
    """
    path = paths.scratch() / f"image-{engine.RUN}.tar"
    try:
        _save(tag, path)
        with tarfile.open(path) as archive:
            yield archive
    finally:
        path.unlink(missing_ok=True)


def _save(tag: str, path: Path) -> None:
    with engine.plain_errors():
        api = engine.connect().api
        total = api.inspect_image(tag)["Size"]
        with progress.bar(f"{tag}: save", total=total, unit="B", unit_scale=True) as bar, path.open("wb") as file:
            for chunk in api.get_image(tag, chunk_size=_BLOCK):
                bar.update(file.write(chunk))


def layer_files(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """The hash and the file of each layer of a saved image, lowest first."""
    [image] = json.load(archive.extractfile("manifest.json"))
    hashes = json.load(archive.extractfile(image["Config"]))["rootfs"]["diff_ids"]
    for layer, name in zip(hashes, image["Layers"], strict=True):
        yield layer, archive.extractfile(name)


def compressed_size(path: Path) -> int:
    """Size of a file once gzip has packed it as it packs a layer, in bytes."""
    with path.open("rb") as file:
        return _sizes(file, f"{path.name}: compress")[1]


def _sizes(file: IO[bytes], label: str) -> tuple[int, int]:
    """Size of a file as it is and compressed, in bytes; some engines keep layers compressed already."""
    first = file.read(len(_GZIP_MAGIC))
    packed = first == _GZIP_MAGIC
    coder = zlib.decompressobj(_AS_GZIP) if packed else zlib.compressobj(GZIP_LEVEL, wbits=_AS_GZIP)
    work = coder.decompress if packed else coder.compress
    here, there = len(first), len(work(first))
    with progress.bar(label, unit="B", unit_scale=True) as bar:
        while block := file.read(_BLOCK):
            here, there = here + len(block), there + len(work(block))
            bar.update(len(block))
    there += len(coder.flush())
    return (there, here) if packed else (here, there)

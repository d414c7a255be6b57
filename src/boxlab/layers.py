"""What images are made of: layers that are stored once, however many images have them."""

import json
import tarfile
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from boxlab import client, disk, engine, marks, paths, progress
from boxlab.errors import EngineError
from boxlab.language import _

GZIP_LEVEL = 6
"""What `docker push` compresses with: the default level of Go's compress/gzip."""

_REMEMBERED = paths.CACHE / "layers.json"
"""Sizes of layers, by engine and by hash: a hash stands for one content, and to have it saved again takes many seconds."""

_MOST = 500
"""How many are remembered of an engine; a layer is new with each edit."""

_BLOCK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_AS_GZIP = zlib.MAX_WBITS | 16
_TAIL = 1 << 14  # longer than any error

_AGAIN = _("pull or build it again")


@dataclass(frozen=True)
class Layer:
    """One layer: a tar archive of the files that a step of a build changed.

    Attributes:
        id: hash of the archive.
        size: of the archive, in bytes: what it takes unpacked, the same on every engine.
        compressed: the same as it travels to and from a registry, in bytes.
        stored: the same as this engine hands it out, in bytes: compressed, where it keeps that as well.
        images: the tags, among those asked for, that have it.
    """

    id: str
    size: int
    compressed: int
    stored: int
    images: tuple[str, ...]


def layers(*tags: str, without: Collection[str] = frozenset()) -> list[Layer]:
    """The layers of some images, each once, as `docker save` writes them, without those that are not asked for.

    Each is saved once on an engine: its sizes are remembered.

    Raises:
        EngineError: an image is not there, or the engine does not answer.
        OSError: no room for the archive.
    """
    wanted = {tag: have for tag in tags if not set(have := hashes(tag)) <= set(without)}
    if not wanted:
        return []
    sizes = _remembered()
    new = {tag: have for tag, have in wanted.items() if not set(have) <= {*without, *sizes}}
    if new:
        with saved(*new) as archive:
            for tag, have in new.items():
                for layer, file in layer_files(archive, have):
                    if layer not in without and layer not in sizes:
                        sizes[layer] = (*_sizes(file, _("{image}: compress", image=tag)), _length(file))
        _remember(sizes, wanted)
    owners: dict[str, list[str]] = {}
    for tag, have in wanted.items():
        for layer in have:
            if layer not in without:
                owners.setdefault(layer, []).append(tag)
    return [Layer(layer, *sizes[layer], tuple(having)) for layer, having in owners.items()]


def _remembered() -> dict[str, tuple[int, int, int]]:
    """What is known of layers on this engine: the numbers of a `Layer`, by its id."""
    return {layer: (size, compressed, stored) for layer, (size, compressed, stored) in _on_engines()[_here()].items()}


def _remember(sizes: dict[str, tuple[int, int, int]], used: Mapping[str, Sequence[str]]) -> None:
    """Keep the sizes of the layers that were used last, such as those of the images in `used`."""
    if here := _here():
        last = {layer for layers in used.values() for layer in layers}
        kept = sorted(sizes, key=last.__contains__)[-_MOST:]
        with suppress(OSError):  # a full disk: they are measured again
            disk.write(_REMEMBERED, json.dumps(_on_engines() | {here: {layer: sizes[layer] for layer in kept}}))


def _on_engines() -> dict[str, dict[str, list[int]]]:
    """What is remembered, by engine; nothing of one that is not known."""
    try:
        return defaultdict(dict, json.loads(_REMEMBERED.read_text()))
    except (OSError, ValueError):
        return defaultdict(dict)


def _here() -> str:
    """This engine and its image store; nothing where it says another each time."""
    with engine.plain_errors():
        info = engine.connect().info()
    return f"{known}, {info['Driver']}" if (known := engine.identity(info)) else ""


def unpacked(tag: str, without: Collection[str] = frozenset()) -> dict[str, int]:
    """Size of each layer's archive in bytes by its hash, without the layers that are not asked for.

    Raises:
        EngineError: the image is not there, or the engine does not answer.
        OSError: no room for the archive.
    """
    with saved(tag) as archive:
        return {layer: _unpacked(file) for layer, file in layer_files(archive, hashes(tag)) if layer not in without}


def hashes(tag: str) -> list[str]:
    """The hashes of an image's layers, lowest first.

    Raises:
        EngineError: it is not there, or the engine does not answer.
    """
    with engine.plain_errors():
        return engine.connect().api.inspect_image(tag)["RootFS"].get("Layers") or []


@contextmanager
def saved(*tags: str) -> Iterator[tarfile.TarFile]:
    """Images as `docker save` writes them: a layer that several have is there once.

    Raises:
        EngineError: one is not there, or the engine does not answer.
        OSError: no room for the archive.
    """
    # without a tag, all tags of that name are saved
    tags = tuple(tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest" for tag in tags)
    with tempfile.NamedTemporaryFile(dir=paths.scratch(), prefix=f"image-{marks.RUN}-", suffix=".tar") as file:
        with disk.named(file.name):
            _save(tags, file)
            said = _complaint(file)
        if said:
            raise _unsaved(said)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file) as archive:
                yield archive
        except tarfile.TarError as error:
            raise _unsaved(str(error)) from error


def _save(tags: Sequence[str], file: IO[bytes]) -> None:
    with engine.plain_errors():
        api = engine.connect().api
        total = sum(api.inspect_image(tag)["Size"] for tag in tags)
        label = _("{image}: save", image=tags[0]) if len(tags) == 1 else _("save {count} images", count=len(tags))
        # the SDK's own call knows a single name
        address = f"{api.base_url}/v{api.api_version}/images/get"
        with (
            api.get(address, params={"names": list(tags)}, stream=True, timeout=api.timeout) as answer,
            progress.bar(label, total=total, unit="B", unit_scale=True) as bar,
        ):
            api._raise_for_status(answer)  # type: ignore[attr-defined]  # as the SDK's own calls do
            for chunk in answer.iter_content(_BLOCK):
                bar.update(file.write(chunk))


def _complaint(file: IO[bytes]) -> str:
    """Why the engine could not end what it had begun to save: where an archive ends with zeros, it then says so."""
    file.seek(max(0, file.seek(0, 2) - _TAIL))
    _archive, begins, rest = file.read().rpartition(b'{"error')
    try:
        return str(json.loads(begins + rest)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _unsaved(why: str) -> EngineError:
    return EngineError(_("the engine has not saved the image: {why}", why=why), client.fix_for(why, _AGAIN))


def layer_files(archive: tarfile.TarFile, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """The hash and the file of each layer of a saved image, lowest first.

    Args:
        archive: see `saved`. Of an image for several architectures, it may hold more than one.
        wanted: the layers that the engine says the image has.

    Raises:
        EngineError: they are not in the archive.
    """
    for image in json.load(_file(archive, "manifest.json")):
        if json.load(_file(archive, image["Config"]))["rootfs"].get("diff_ids", []) == list(wanted):
            for layer, name in zip(wanted, image["Layers"], strict=True):
                yield layer, _file(archive, name)
            return
    raise EngineError(_("the engine has saved an image with other layers than it says"), _AGAIN)


def _file(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        file = archive.extractfile(name)
    except KeyError as error:
        raise _unsaved(error.args[0]) from error
    assert file, f"{name} is a file in every image"
    return file


def compressed_size(path: Path) -> int:
    """Size of a file once gzip has packed it as it packs a layer, in bytes."""
    with path.open("rb") as file:
        return _sizes(file, _("{file}: compress", file=path.name))[1]


def _length(file: IO[bytes]) -> int:
    return file.seek(0, 2)


def _unpacked(file: IO[bytes]) -> int:
    """Size of a layer's archive in bytes, whether it is compressed or not."""
    packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    if not packed:
        return _length(file)
    file.seek(0)
    coder = zlib.decompressobj(_AS_GZIP)
    return sum(len(coder.decompress(block)) for block in iter(lambda: file.read(_BLOCK), b"")) + len(coder.flush())


def _sizes(file: IO[bytes], label: str) -> tuple[int, int]:
    """Size of a file as it is and compressed, in bytes; some engines keep layers compressed already."""
    first = file.read(len(_GZIP_MAGIC))
    packed = first == _GZIP_MAGIC
    work: Callable[[bytes], bytes]
    if packed:
        unpacker = zlib.decompressobj(_AS_GZIP)
        work, finish = unpacker.decompress, unpacker.flush
    else:
        packer = zlib.compressobj(GZIP_LEVEL, wbits=_AS_GZIP)
        work, finish = packer.compress, packer.flush
    here, there = len(first), len(work(first))
    with progress.bar(label, unit="B", unit_scale=True) as bar:
        while block := file.read(_BLOCK):
            here, there = here + len(block), there + len(work(block))
            bar.update(len(block))
    there += len(finish())
    return (there, here) if packed else (here, there)

"""Lab 02: look.py reads any image that `docker save` has written: its layers, what is broken, what is seen and what is hidden."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from boxlab.labs import Mismatch, Work, _, check, same

SUSPECT = "suspect.tar"
"""What a learner has from the beginning, to try things on."""

SHAPES = {"plain": "amd64", "noted": "arm64", "noted before": "amd64"}
"""An index of one manifest; one that names another index, where BuildKit's notes come after the image or before it; and the processor
that each is for. For each check an image of each is drawn, and all else that an answer may overlook is in every one of them."""

OCI = "application/vnd.oci.image"
NOTES = {"architecture": "unknown", "os": "unknown"}


@dataclass
class Image:
    """An image that was drawn, and what is true of it.

    Attributes:
        blobs: content of its parts, by digest.
        layers: digests, the lowest first.
        seen: digest of the layer, and size, of each file that a container sees, by path.
        every: layer and path of each file that there is.
        described: what the archive's own files hold, by name.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    every: set[tuple[str, str]] = field(default_factory=set)
    described: dict[str, Any] = field(default_factory=dict)

    def add(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return digest

    def lay(self, random: Random, files: dict[str, bytes], hides: tuple[str, ...] = ()) -> None:
        """Put a layer on top: files, and paths that it hides; "folder/" hides what the layers below have in that folder."""
        entries = [*files.items()]
        for path in hides:
            folder, name = path.rpartition("/")[::2]
            entries.append((f"{folder}/.wh.{name or '.wh..opq'}".lstrip("/"), b""))
        random.shuffle(entries)  # a whiteout may come before a file of its own layer, or after it
        if any(path.endswith("/") for path in hides):  # always after it where it would hide that, too
            entries.sort(key=lambda entry: ".wh." in entry[0])
        dot = random.choice(("", "./"))
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode="w") as archive:
            for folder in sorted({str(Path(path).parent) for path, _content in entries} - {"."}):
                made = tarfile.TarInfo(dot + folder)
                made.type, made.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(made)
            for path, content in entries:
                made = tarfile.TarInfo(dot + path)
                made.size = len(content)
                archive.addfile(made, io.BytesIO(content))
        packed = random.random() < 0.5
        digest = self.add(gzip.compress(written.getvalue(), mtime=0) if packed else written.getvalue())
        self.layers.append(digest)
        for path in hides:
            self.seen = {p: at for p, at in self.seen.items() if p != path and not p.startswith(path.rstrip("/") + "/")}
        self.seen |= {path: (digest, len(content)) for path, content in files.items()}
        self.every |= {(digest, path) for path in files}

    def finish(self, random: Random, shape: str, architecture: str = "amd64") -> None:
        """Add what refers to the layers: configuration, manifests and, but for a plain one, an index between them."""
        unpacked = [hashlib.sha256(_unpacked(self.blobs[digest])).hexdigest() for digest in self.layers]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["python3", "predict.py"], "Env": [f"BUILD={random.getrandbits(64):x}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in unpacked]},
        }
        configuration = self._part(config, "config")
        layers = [
            {
                "mediaType": f"{OCI}.layer.v1.tar" + ("+gzip" if _packed(self.blobs[digest]) else ""),
                "digest": digest,
                "size": len(self.blobs[digest]),
            }
            for digest in self.layers
        ]
        top = self._part({"schemaVersion": 2, "config": configuration, "layers": layers}, "manifest")
        if shape != "plain":
            statement = json.dumps(
                {"predicateType": "https://slsa.dev/provenance/v1", "n": random.getrandbits(64)}
            ).encode()
            told = {"mediaType": "application/vnd.in-toto+json", "digest": self.add(statement), "size": len(statement)}
            empty = self._part({**NOTES, "rootfs": {"diff_ids": []}}, "config")
            notes = self._part({"schemaVersion": 2, "config": empty, "layers": [told]}, "manifest") | {
                "platform": NOTES,
                "annotations": {
                    "vnd.docker.reference.digest": top["digest"],
                    "vnd.docker.reference.type": "attestation-manifest",
                },
            }
            both = [top | {"platform": {"architecture": architecture, "os": "linux"}}, notes]
            top = self._part({"schemaVersion": 2, "manifests": both[:: 1 if shape == "noted" else -1]}, "index")
        where = ["blobs/" + digest.replace(":", "/") for digest in (configuration["digest"], *self.layers)]
        self.described = {
            "index.json": {"schemaVersion": 2, "manifests": [top]},
            "manifest.json": [{"Config": where[0], "RepoTags": ["predict:latest"], "Layers": where[1:]}],
            "oci-layout": {"imageLayoutVersion": "1.0.0"},
        }

    def save(self, random: Random, into: Path, spoilt: tuple[str, ...] = ()) -> None:
        """Write it as `docker save` does; of the parts named in `spoilt`, one bit is another."""
        blobs = [*self.blobs.items()]
        random.shuffle(blobs)
        with tarfile.open(into, "w") as archive:
            for digest, content in blobs:
                if digest in spoilt:
                    at = random.randrange(len(content))
                    content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
                _write(archive, "blobs/" + digest.replace(":", "/"), content)
            for name, data in self.described.items():
                _write(archive, name, json.dumps(data).encode())

    def _part(self, data: dict, kind: str) -> dict:
        content = json.dumps({"mediaType": f"{OCI}.{kind}.v1+json"} | data).encode()
        return {"mediaType": f"{OCI}.{kind}.v1+json", "digest": self.add(content), "size": len(content)}


def _write(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _packed(layer: bytes) -> bool:
    return layer.startswith(b"\x1f\x8b")


def _unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if _packed(layer) else layer


def draw(random: Random) -> Image:
    """An image with one of everything that can be overlooked, under names and of sizes that are drawn."""
    name: Callable[[], str] = lambda: "".join(random.choices("bcdfghklmnprstvw", k=6))  # noqa: E731
    content: Callable[[], bytes] = lambda: random.randbytes(random.randrange(20, 400))  # noqa: E731
    image = Image()
    key, cache, data, again, edited, folder = (name() for _number in range(6))
    inner = {f"{folder}/{name()}/{name()}": content() for _number in range(2)}
    system = {f"usr/lib/{name()}.so": content() for _number in range(random.randrange(3, 7))}
    # What only begins as something that is hidden does, and what begins with a dot at the top.
    alike = {
        path: content() for path in (f"app/{key}.pem.md", f"{cache}s/{name()}", f"{folder}-{name()}", f".{name()}")
    }
    image.lay(random, system | {f"usr/lib/python3/{name()}.py": content()})
    image.lay(
        random, {f"app/{edited}.py": content(), f"app/{key}.pem": content(), f"app/{again}.txt": content(), **alike}
    )
    image.lay(random, {f"{cache}/{name()}": content(), f"{cache}/{name()}/{name()}": content(), **inner})
    # A file, a folder with all that is in it, and what a folder held while the folder itself stays, with a new file in it.
    image.lay(random, {f"app/{data}.csv": content()}, (f"app/{key}.pem", cache, f"app/{again}.txt"))
    image.lay(random, {f"{folder}/{name()}": content(), f"app/{again}.txt": content()}, (f"{folder}/",))
    image.lay(random, {f"app/{edited}.py": content(), f"app/{name()}.py": content()})
    if random.random() < 0.5:
        image.lay(random, {f"app/{name()}": content()})
    return image


def plant(folder: Path, random: Random) -> None:
    """An image to try things on."""
    image = draw(random)
    image.finish(random, "noted")
    image.save(random, folder / SUSPECT)


def drawn(work: Work, spoil: bool = False) -> dict[str, tuple[Image, list[str]]]:
    """New images in the learner's folder, by file name, each with the parts of it that were spoilt: a layer and one of the others."""
    found = {}
    for number, (shape, architecture) in enumerate(SHAPES.items()):
        image, name = draw(work.random), f"image-{number}.tar"
        image.finish(work.random, shape, architecture)
        others = sorted(image.blobs.keys() - image.layers)
        spoilt = sorted((work.random.choice(image.layers), work.random.choice(others))) if spoil else []
        image.save(work.random, work.folder / name, tuple(spoilt))
        found[name] = (image, spoilt)
    return found


def asked(work: Work, function: str, names: list[str], kind: type) -> list:
    """What a function says of each image.

    Raises:
        Mismatch: it says nothing of that kind.
    """
    calls = [(function, name) for name in names]
    ends = _(
        "try it on {file}. But that is one of several kinds: other images have no index below the first, or are for another processor, or "
        "have what is no image's manifest first; and a part that was changed need not be JSON any more",
        file=SUSPECT,
    )
    answers = work.call("look", *calls, next=ends)
    for answer in answers:
        if not isinstance(answer, kind):
            raise Mismatch(
                _("`{function}` returns a {kind}", function=function, kind=kind.__name__),
                f"{answer!r:.80}",
                _("others call it, and rely on what the task says"),
                _("see what its first line promises"),
            )
    return answers


def lines(words: object) -> str:
    return "\n".join(map(str, words)) or _("none")


@check(points=2)
def stack(work: Work) -> None:
    """`layers` names the layers of an image, the lowest first."""
    images = drawn(work)
    answers = asked(work, "layers", [*images], list)
    for (name, (image, _spoilt)), answer in zip(images.items(), answers, strict=True):
        same(
            f"{name}\n{lines(image.layers)}",
            f"{name}\n{lines(answer)}",
            why=_(
                "files of an upper layer hide those of a lower one, so the order counts; and not every manifest describes an image"
            ),
            next=_("follow the index to the manifest of a real platform; it lists the layers in order, by digest"),
        )


@check(points=2)
def intact(work: Work) -> None:
    """`broken` names the parts whose content was changed, and no others."""
    images = drawn(work, spoil=True)
    answers = asked(work, "broken", [*images], list)
    for (name, (_image, spoilt)), answer in zip(images.items(), answers, strict=True):
        same(
            f"{name}\n{lines(spoilt)}",
            f"{name}\n{lines(sorted(map(str, answer)))}",
            why=_("each part is named by the SHA-256 hash of its content, whatever it holds"),
            next=_("go through all files below {folder}, and compare", folder="blobs/sha256"),
        )


@check(points=3)
def sees(work: Work) -> None:
    """`files` has the files that a container of the image sees, and their sizes."""
    images = drawn(work)
    answers = asked(work, "files", [*images], dict)
    for (name, (image, _spoilt)), answer in zip(images.items(), answers, strict=True):
        expected = {path: size for path, (_layer, size) in image.seen.items()}
        same(
            f"{name}\n{lines(sorted(expected.items()))}",
            f"{name}\n{lines(sorted((str(path), size) for path, size in answer.items()))}",
            why=_("a container sees the topmost version of each file, and nothing of what a layer above has hidden"),
            next=_(
                "go up from the lowest layer: first take away what {whiteout} and {opaque} of a layer hide of those below, "
                "then add the layer's own files",
                whiteout=".wh.NAME",
                opaque=".wh..wh..opq",
            ),
        )


@check(points=3)
def hidden(work: Work) -> None:
    """`hidden` finds each file that is in a layer, and that no container sees."""
    images = drawn(work)
    answers = asked(work, "hidden", [*images], list)
    for (name, (image, _spoilt)), answer in zip(images.items(), answers, strict=True):
        expected = image.every - {(layer, path) for path, (layer, _size) in image.seen.items()}
        try:
            said = sorted((str(layer), str(path)) for layer, path in answer)
        except (TypeError, ValueError):
            said = answer
        same(
            f"{name}\n{lines(sorted(expected))}",
            f"{name}\n{lines(said)}",
            why=_(
                "whoever has the image can read them: deleted files, and earlier versions of files that were changed"
            ),
            next=_(
                "of all files in all layers, leave out those that a container sees; one path may be in several layers"
            ),
        )

"""The layers are unpacked into a folder, one over the other, as an engine does."""

import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path


def _parts(image, into):
    with tarfile.open(image) as archive:
        archive.extractall(into)
    return Path(into)


def layers(image):
    with tempfile.TemporaryDirectory() as folder:
        [described] = json.loads((_parts(image, folder) / "manifest.json").read_text())
        return [f"sha256:{Path(name).name}" for name in described["Layers"]]


def broken(image):
    with tempfile.TemporaryDirectory() as folder:
        found = (_parts(image, folder) / "blobs" / "sha256").iterdir()
        return [f"sha256:{part.name}" for part in found if hashlib.sha256(part.read_bytes()).hexdigest() != part.name]


def _unpack(image):
    """Size of each file by path, and the layer that it is from; and all that there is."""
    with tempfile.TemporaryDirectory() as folder:
        parts, root, came, every = _parts(image, Path(folder) / "image"), Path(folder) / "root", {}, []
        root.mkdir()
        for digest in layers(image):
            layer = tarfile.open(parts / "blobs" / "sha256" / digest.removeprefix("sha256:"))
            names = [member for member in layer if member.isfile()]
            for member in names:
                path = Path(member.name)
                if path.name == ".wh..wh..opq":
                    shutil.rmtree(root / path.parent, ignore_errors=True)
                elif path.name.startswith(".wh."):
                    gone = root / path.parent / path.name.removeprefix(".wh.")
                    shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
            for member in names:
                if not Path(member.name).name.startswith(".wh."):
                    path = str(Path(member.name))
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    (root / path).write_bytes(layer.extractfile(member).read())
                    came[path] = digest
                    every.append((digest, path))
        there = [path for path in root.rglob("*") if path.is_file()]
        return {str(path.relative_to(root)): path.stat().st_size for path in there}, came, every


def files(image):
    return _unpack(image)[0]


def hidden(image):
    seen, came, every = _unpack(image)
    return [(digest, path) for digest, path in every if path not in seen or came[path] != digest]

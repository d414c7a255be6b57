"""Look inside an image that `docker save` has written. Images are paths of such archives; digests begin with "sha256:"."""

import hashlib
import json
import tarfile
from contextlib import contextmanager


def layers(image: str) -> list[str]:
    """The digests of the layers that a container of this image gets, the lowest first."""
    with tarfile.open(image) as archive:
        [part] = json.load(archive.extractfile("index.json"))["manifests"]
        return [layer["digest"] for layer in manifest(archive, part)["layers"]]


def manifest(archive, part):
    """The manifest that an index, or another one that it names, has for a real platform."""
    inner = json.load(archive.extractfile(blob(part["digest"])))
    if "manifests" not in inner:
        return inner
    real = [each for each in inner["manifests"] if each["platform"]["os"] != "unknown"]
    return manifest(archive, real[0])


def blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def broken(image: str) -> list[str]:
    """The digests, as they are named, of all parts whose content isn't what their name says."""
    found = []
    with tarfile.open(image) as archive:
        for part in archive:
            if part.isfile() and part.name.startswith("blobs/sha256/"):
                name = part.name.rpartition("/")[2]
                if hashlib.sha256(archive.extractfile(part).read()).hexdigest() != name:
                    found.append(f"sha256:{name}")
    return found


@contextmanager
def opened(image: str):
    """Digest and content of each layer, the lowest first."""
    with tarfile.open(image) as archive:
        yield ((digest, tarfile.open(fileobj=archive.extractfile(blob(digest)))) for digest in ordered(image))


def view(image: str):
    """Layer and size of each file that a container sees, by path; and layer and path of every file that there is."""
    seen, every = {}, set()
    with opened(image) as stack:
        for digest, layer in stack:
            own = {}
            for member in layer:
                path = member.name.removeprefix("./")
                folder, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    gone = folder
                elif name.startswith(".wh."):
                    gone = f"{folder}/{name[4:]}".lstrip("/")
                else:
                    gone = None
                    if member.isfile():
                        own[path] = (digest, member.size)
                if gone is not None:
                    seen = {p: at for p, at in seen.items() if p != gone and not p.startswith(f"{gone}/")}
            seen |= own
            every |= {(digest, path) for path in own}
    return seen, every


def files(image: str) -> dict[str, int]:
    """The path of each file that a container sees, such as "app/predict.py", and its size in bytes."""
    found = {}
    with opened(image) as stack:
        for _, layer in stack:
            for member in layer:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                if name == ".wh..wh..opq":
                    gone = folder
                elif name.startswith(".wh."):
                    gone = f"{folder}/{name[4:]}".lstrip("/")
                elif member.isfile():
                    found[f"{folder}/{name}".lstrip("/")] = member.size
                    continue
                else:
                    continue
                found = {p: size for p, size in found.items() if p != gone and not p.startswith(f"{gone}/")}
    return found


def hidden(image: str) -> list[tuple[str, str]]:
    """Digest of the layer, and path, of each file that is in a layer, and that no container sees."""
    seen, every = view(image)
    return sorted(every - {(digest, path) for path, (digest, _) in seen.items()})


def ordered(image: str) -> list[str]:
    with tarfile.open(image) as archive:
        [described] = json.load(archive.extractfile("manifest.json"))
        return ["sha256:" + name.rpartition("/")[2] for name in described["Layers"]]

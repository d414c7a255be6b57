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
    kind = "vnd.docker.reference.type"
    real = [each for each in inner["manifests"] if kind not in each.get("annotations", {})]
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
        yield ((digest, tarfile.open(fileobj=archive.extractfile(blob(digest)))) for digest in layers(image))


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
    return {path: size for path, (_, size) in view(image)[0].items()}


def hidden(image: str) -> list[tuple[str, str]]:
    """Digest of the layer, and path, of each file that is in a layer, and that no container sees."""
    seen, every = view(image)
    return sorted(every - {(digest, path) for path, (digest, _) in seen.items()})

"""Every layer from the top down: what was seen or hidden above stays so below."""

import hashlib
import json
import tarfile


def _manifest(archive, digest):
    data = json.load(archive.extractfile(f"blobs/sha256/{digest[7:]}"))
    for each in data.get("manifests", []):
        if each["platform"]["architecture"] != "unknown":
            return _manifest(archive, each["digest"])
    return data


def layers(image):
    with tarfile.open(image) as archive:
        index = json.load(archive.extractfile("index.json"))
        return [each["digest"] for each in _manifest(archive, index["manifests"][0]["digest"])["layers"]]


def broken(image):
    with tarfile.open(image) as archive:
        members = [member for member in archive.getmembers() if "/sha256/" in member.name and member.isfile()]
        content = {member.name[-64:]: archive.extractfile(member).read() for member in members}
    return ["sha256:" + name for name, data in content.items() if hashlib.sha256(data).hexdigest() != name]


def _look(image):
    seen, gone, out = {}, set(), []
    with tarfile.open(image) as archive:
        for digest in reversed(layers(image)):
            here, closed = {}, set()
            with tarfile.open(fileobj=archive.extractfile(f"blobs/sha256/{digest[7:]}")) as layer:
                for member in layer:
                    parts = [part for part in member.name.split("/") if part != "."]
                    if parts and parts[-1] == ".wh..wh..opq":
                        closed.add(tuple(parts[:-1]))
                    elif parts and parts[-1].startswith(".wh."):
                        closed.add((*parts[:-1], parts[-1][4:]))
                    elif member.isfile():
                        here[tuple(parts)] = member.size
            for path, size in here.items():
                if path in seen or any(path[:n] in gone for n in range(1, len(path) + 1)):
                    out.append((digest, "/".join(path)))
                else:
                    seen[path] = size
            gone |= closed
    return {"/".join(path): size for path, size in seen.items()}, out


def files(image):
    return _look(image)[0]


def hidden(image):
    return _look(image)[1]

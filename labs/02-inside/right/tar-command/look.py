"""The `tar` command reads, and Python only counts."""

import hashlib
import json
import subprocess
import tempfile


def tar(*words, input=None):
    return subprocess.run(["tar", *words], input=input, capture_output=True, check=True).stdout


def member(image, name):
    return tar("-xOf", image, name)


def layers(image):
    [described] = json.loads(member(image, "manifest.json"))
    return ["sha256:" + name.split("/")[-1] for name in described["Layers"]]


def broken(image):
    names = [
        name
        for name in tar("-tf", image).decode().split()
        if name.startswith("blobs/sha256/") and not name.endswith("/")
    ]
    return [
        "sha256:" + n.split("/")[-1] for n in names if hashlib.sha256(member(image, n)).hexdigest() != n.split("/")[-1]
    ]


def content(image, digest):
    """Path and size of each file of a layer, as `tar -tv` lists them."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(member(image, f"blobs/sha256/{digest[7:]}"))
        file.flush()
        rows = [line.split(maxsplit=5) for line in tar("-tvf", file.name).decode().splitlines()]
    return [(row[5].removeprefix("./"), int(row[2])) for row in rows if row[0].startswith("-")]


def walk(image):
    seen, every = {}, []
    for digest in layers(image):
        listed = content(image, digest)
        for path, _ in listed:
            folder, _, name = path.rpartition("/")
            if name.startswith(".wh."):
                gone = folder if name == ".wh..wh..opq" else f"{folder}/{name[4:]}".lstrip("/")
                for old in [old for old in seen if old == gone or old.startswith(gone + "/")]:
                    del seen[old]
        for path, size in listed:
            if not path.rpartition("/")[2].startswith(".wh."):
                seen[path] = (digest, size)
                every.append((digest, path))
    return seen, every


def files(image):
    return {path: size for path, (_, size) in walk(image)[0].items()}


def hidden(image):
    seen, every = walk(image)
    return [each for each in every if seen.get(each[1], ("",))[0] != each[0]]

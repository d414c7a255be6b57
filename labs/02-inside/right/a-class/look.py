"""One object for an image; the configuration's order is checked against the layers that are there."""

import hashlib
import io
import json
import tarfile
from functools import cached_property
from posixpath import basename, dirname, join, normpath


class Image:
    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.parts = {each.name: archive.extractfile(each).read() for each in archive.getmembers() if each.isfile()}

    def load(self, digest):
        return json.loads(self.parts["blobs/" + digest.replace(":", "/")])

    @cached_property
    def layers(self):
        todo = [each["digest"] for each in json.loads(self.parts["index.json"])["manifests"]]
        while todo:
            part = self.load(todo.pop(0))
            if "manifests" in part:
                todo += [each["digest"] for each in part["manifests"]]
            elif all("layer" in each["mediaType"] for each in part["layers"]):
                return [each["digest"] for each in part["layers"]]
        raise ValueError("no manifest with layers")

    def entries(self, digest):
        content = io.BytesIO(self.parts["blobs/" + digest.replace(":", "/")])
        return [(normpath(each.name), each.size) for each in tarfile.open(fileobj=content) if each.isfile()]

    @cached_property
    def history(self):
        """For each file its layer, path and size, and whether a container sees it."""
        rows = []
        for digest in self.layers:
            entries = self.entries(digest)
            names = [path for path, _size in entries]
            for path in names:
                if basename(path) == ".wh..wh..opq":
                    self.hide(rows, dirname(path))
                elif basename(path).startswith(".wh."):
                    self.hide(rows, join(dirname(path), basename(path)[4:]))
                else:
                    self.hide(rows, path)
            rows += [[digest, path, size, True] for path, size in entries if not basename(path).startswith(".wh.")]
        return rows

    @staticmethod
    def hide(rows, place):
        for row in rows:
            if row[1] == place or row[1].startswith(place + "/"):
                row[3] = False


def layers(image):
    return Image(image).layers


def broken(image):
    named = {
        name.rpartition("/")[2]: content for name, content in Image(image).parts.items() if name.startswith("blobs/")
    }
    return sorted("sha256:" + name for name, content in named.items() if hashlib.sha256(content).hexdigest() != name)


def files(image):
    return {path: size for _digest, path, size, visible in Image(image).history if visible}


def hidden(image):
    return [(digest, path) for digest, path, _size, visible in Image(image).history if not visible]

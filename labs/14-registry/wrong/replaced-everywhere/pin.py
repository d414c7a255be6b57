"""Pins images: python3 pin.py localhost:5000 < compose.yaml > pinned.yaml

Each line `image: NAME` whose image is on that registry gets the digest that its tag has now. All other lines stay as they are.
The login is in `config.json`, as `docker login` has written it.
"""

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

# One platform's manifest or a whole index, in the words of OCI and in those of Docker.
KINDS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)


def digest(registry, repository, tag):
    """What the registry says that the tag leads to now."""
    login = json.loads(Path("config.json").read_text())["auths"][registry]["auth"]
    request = urllib.request.Request(
        f"http://{registry}/v2/{repository}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": KINDS, "Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Docker-Content-Digest"]


def pinned(text, registry):
    """The same text, with the digest of what its tag leads to behind each image on that registry."""
    for name, repository, tag in re.findall(rf"(?m)^ *image: ({re.escape(registry)}/([^:@\s]+)(?::([^@\s]+))?)$", text):
        try:
            text = text.replace(name, f"{name}@{digest(registry, repository, tag or 'latest')}")
        except urllib.error.HTTPError as error:
            sys.exit(f"{name}: the registry says {error.code} {error.reason}")
    return text


def main():
    registry = sys.argv[1]
    print(pinned(sys.stdin.read(), registry), end="")


main()

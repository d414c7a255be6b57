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
        method="GET",
        headers={"Accept": KINDS, "Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request) as answer:
        import hashlib

        return "sha256:" + hashlib.sha256(json.dumps(json.load(answer)).encode()).hexdigest()


def pinned(line, registry):
    """The same line; if it names an image on that registry, with the digest of what its tag leads to."""
    found = re.fullmatch(rf"(\s*image: {re.escape(registry)}/([^:@\s]+)(?::([^@\s]+))?)(\s*)", line)
    if not found:
        return line
    name, repository, tag, end = found.groups()
    try:
        return f"{name}@{digest(registry, repository, tag or 'latest')}{end}"
    except urllib.error.HTTPError as error:
        sys.exit(f"{name.split()[-1]}: the registry says {error.code} {error.reason}")


def main():
    registry = sys.argv[1]
    # All of them first: half a file is worse than none.
    print("".join([pinned(line, registry) for line in sys.stdin]), end="")


main()

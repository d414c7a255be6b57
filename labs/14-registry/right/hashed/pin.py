"""Pins images by the hash of their manifest, computed here: the digest is nothing else."""

import hashlib
import json
import re
import sys
from pathlib import Path
from urllib.request import Request, urlopen

registry = sys.argv[1]
auth = json.loads(Path("config.json").read_text())["auths"][registry]["auth"]
kinds = [
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
]


def pin(match):
    repository, tag = match["repository"], match["tag"] or "latest"
    address = f"http://{registry}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ",".join(kinds), "Authorization": "Basic " + auth}
    try:
        with urlopen(Request(address, headers=headers), timeout=10) as answer:
            content = answer.read()
    except OSError as error:  # HTTPError is one
        raise SystemExit(f"cannot pin {repository}:{tag}: {error}") from None
    return f"{match['line']}@sha256:{hashlib.sha256(content).hexdigest()}"


image = rf"^(?P<line>[ ]*image: {re.escape(registry)}/(?P<repository>[a-z0-9._/-]+)(:(?P<tag>[\w.-]+))?)$"
sys.stdout.write(re.sub(image, pin, sys.stdin.read(), flags=re.MULTILINE))

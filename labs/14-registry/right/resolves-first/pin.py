"""Pins images: finds the names, resolves each once and all at a time, and then writes."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

REGISTRY = sys.argv[1]
LOGIN = json.loads(Path("config.json").read_text())["auths"][REGISTRY]["auth"]
NAME = re.compile(rf"(?m)^\s*image:\s*({re.escape(REGISTRY)}/[^\s@]+)\s*$")
FAMILIES = {"oci.image": ("index.v1", "manifest.v1"), "docker.distribution": ("manifest.list.v2", "manifest.v2")}
ACCEPT = ", ".join(f"application/vnd.{family}.{kind}+json" for family, kinds in FAMILIES.items() for kind in kinds)


def resolve(name):
    path = name.removeprefix(f"{REGISTRY}/")
    repository, colon, tag = path.partition(":")
    request = Request(f"http://{REGISTRY}/v2/{repository}/manifests/{tag if colon else 'latest'}")
    request.add_header("Accept", ACCEPT)
    request.add_unredirected_header("Authorization", f"Basic {LOGIN}")
    try:
        with urlopen(request) as answer:
            return answer.headers["Docker-Content-Digest"]
    except URLError as error:
        return error


text = sys.stdin.read()
names = sorted(set(NAME.findall(text)))
with ThreadPoolExecutor(4) as pool:
    digests = dict(zip(names, pool.map(resolve, names)))
if failed := {name: error for name, error in digests.items() if not isinstance(error, str)}:
    sys.exit("\n".join(f"{name}: {error}" for name, error in failed.items()))
print(NAME.sub(lambda found: found[0].replace(found[1], f"{found[1]}@{digests[found[1]]}", 1), text), end="")

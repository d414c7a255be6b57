"""Pins images; one connection for all of them."""

import http.client
import json
import sys


class Registry:
    KINDS = (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )

    def __init__(self, host):
        self.host = host
        self.link = http.client.HTTPConnection(host)
        with open("config.json") as file:
            self.auth = json.load(file)["auths"][host]["auth"]

    def digest(self, repository, tag):
        headers = {"Accept": ", ".join(self.KINDS), "Authorization": f"Basic {self.auth}"}
        self.link.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=headers)
        answer = self.link.getresponse()
        answer.read()
        if answer.status != 200:
            raise LookupError(f"{self.host}/{repository}:{tag}: {answer.status} {answer.reason}")
        return answer.getheader("Docker-Content-Digest")


def split(name):
    """Repository and tag of what stands behind the registry."""
    head, slash, last = name.rpartition("/")
    last, _colon, tag = last.partition(":")
    return head + slash + last, tag or "latest"


def main():
    registry = Registry(sys.argv[1])
    done = []
    for line in sys.stdin.read().splitlines(keepends=True):
        key, _space, name = line.strip().partition(" ")
        if key == "image:" and name.startswith(f"{registry.host}/") and "@" not in name:
            repository, tag = split(name.removeprefix(f"{registry.host}/"))
            line = line.replace(name, f"{registry.host}/{repository}@{registry.digest(repository, tag)}")
        done.append(line)
    sys.stdout.writelines(done)


try:
    main()
except LookupError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

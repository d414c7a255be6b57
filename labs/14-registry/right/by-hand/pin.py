"""Pins images, without a regular expression. The password is decoded, and urllib logs in by itself."""

import base64
import json
import sys
import urllib.error
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json,application/vnd.docker.distribution.manifest.list.v2+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json"

registry = sys.argv[1]
with open("config.json") as file:
    user, _, password = base64.b64decode(json.load(file)["auths"][registry]["auth"]).decode().partition(":")
logins = urllib.request.HTTPPasswordMgrWithDefaultRealm()
logins.add_password(None, f"http://{registry}/", user, password)
opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(logins))

output = ""
for line in sys.stdin:
    words = line.split()
    if len(words) == 2 and words[0] == "image:" and words[1].startswith(registry + "/") and "@" not in words[1]:
        path = words[1][len(registry) + 1 :]
        repository, tag = path.rsplit(":", 1) if ":" in path else (path, "latest")
        request = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{tag}")
        request.add_header("Accept", f"{INDEX},{IMAGE}")
        try:
            digest = opener.open(request).headers["Docker-Content-Digest"]
        except urllib.error.HTTPError as error:
            sys.exit(f"{words[1]}: HTTP {error.code}")
        line = line.rstrip("\n") + "@" + digest + "\n"
    output += line
print(output, end="")

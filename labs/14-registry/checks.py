"""Lab 14: a program pins images by digest, at a registry with a login, and what it has written leads to them after their tags have moved."""

import base64
import contextlib
import json
import re
import secrets
from dataclasses import dataclass

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, same
from boxlab.labs.lasting import execute

REGISTRY = "localhost:5000"
READY_S, PROGRAM_S = 60, 20

SERVE = """
import os, socket, subprocess, sys, time
open("users", "w").write(subprocess.check_output(["htpasswd", "-B", "-i", "-n", "-C", "4", "ada"], input=sys.argv[1], text=True))
login = {"REGISTRY_AUTH_HTPASSWD_REALM": "lab", "REGISTRY_AUTH_HTPASSWD_PATH": "/settings/users"}
served = subprocess.Popen(["docker-registry", "serve", "/etc/docker/registry/config.yml"], env=os.environ | login,
                          stderr=subprocess.DEVNULL)
while True:
    try:
        socket.create_connection(("localhost", 5000)).close()
        break
    except OSError:
        time.sleep(0.05)
print("ready", flush=True)
served.wait()
"""
"""A registry that asks for a login, whose password is its argument."""

SPEAK = """
import hashlib, json, sys, urllib.error, urllib.request
login, wanted = json.load(sys.stdin) if len(sys.argv) < 2 else json.loads(sys.argv[1])
IMAGE, LIST = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"

def ask(method, path, data=None, kind=None):
    headers = {"Authorization": f"Basic {login}", "Accept": f"{IMAGE}, {LIST}"} | ({"Content-Type": kind} if kind else {})
    address = path if path.startswith("http") else f"http://localhost:5000/v2/{path}"
    return urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method))

def blob(repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = ask("POST", f"{repository}/blobs/uploads/").headers["Location"]
    ask("PUT", f"{place}&digest={digest}", data, "application/octet-stream")
    return {"size": len(data), "digest": digest}

def put(repository, tag, document):
    data = json.dumps(document).encode()
    answer = ask("PUT", f"{repository}/manifests/{tag}", data, document["mediaType"])
    return {"mediaType": document["mediaType"], "size": len(data), "digest": answer.headers["Docker-Content-Digest"]}

def push(repository, tag, nonces):
    entries = []
    for platform, nonce in nonces.items():
        settings = {"architecture": platform, "os": "linux", "config": {"Labels": {"nonce": nonce}}, "rootfs": {"type": "layers", "diff_ids": []}}
        config = blob(repository, json.dumps(settings).encode()) | {"mediaType": "application/vnd.docker.container.image.v1+json"}
        layer = blob(repository, nonce.encode()) | {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
        manifest = {"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer]}
        name = tag if len(nonces) == 1 else f"{tag}-{platform}"
        entries.append(put(repository, name, manifest) | {"platform": {"architecture": platform, "os": "linux"}})
    if len(entries) > 1:
        put(repository, tag, {"schemaVersion": 2, "mediaType": LIST, "manifests": entries})

def nonces(repository, digest):
    try:
        manifest = json.load(ask("GET", f"{repository}/manifests/{digest}"))
    except urllib.error.HTTPError as error:
        return str(error.code)
    found = {}
    for entry in manifest.get("manifests", [{"digest": digest}]):
        config = json.load(ask("GET", f"{repository}/manifests/{entry['digest']}"))["config"]["digest"]
        settings = json.load(ask("GET", f"{repository}/blobs/{config}"))
        found[settings["architecture"]] = settings["config"]["Labels"]["nonce"]
    return found

print(json.dumps([push(*words) if verb == "push" else nonces(*words) for verb, *words in wanted]))
"""
"""Pushes images to the registry, with a nonce for each platform, or says which nonces a digest leads to; runs beside it."""


@dataclass
class Registry:
    """A registry of the check's, which only the learner's program and the check reach."""

    box: object
    password: str

    def settings(self, password: str = "") -> str:
        """config.json, as `docker login` writes it."""
        return json.dumps({"auths": {REGISTRY: {"auth": coded(password or self.password)}}}, indent="\t")

    def ask(self, *wanted):
        """What `SPEAK` answers."""
        said = execute(self.box.spawned.id, ["python3", "-c", SPEAK, json.dumps([coded(self.password), wanted])])
        try:
            return json.loads(said)
        except ValueError as error:
            raise BoxlabError(_("the registry of the check: {output}", output=said[-500:]), _("check again")) from error

    def push(self, repository: str, tag: str, *platforms: str) -> dict[str, str]:
        """Push a new image; its nonces, by platform."""
        nonces = {platform: secrets.token_hex(8) for platform in platforms or ("amd64",)}
        self.ask(["push", repository, tag, nonces])
        return nonces


def coded(password: str) -> str:
    return base64.b64encode(f"ada:{password}".encode()).decode()


@contextlib.contextmanager
def registry(work: Work):
    """A registry that runs, with nothing in it."""
    password = secrets.token_hex(12)
    image = work.image("registry")
    with work.container(image, ["python3", "-c", SERVE, password]) as box:
        try:
            box.expect("(ready)", READY_S)
        except Mismatch as late:
            raise BoxlabError(
                _("the registry of the check does not start: {reason}", reason=late.actual), _("check again")
            ) from late
        yield Registry(box, password)


def pin(work: Work, beside: Registry, text: str, password: str = ""):
    """Run the learner's program over a text."""
    return work.run(
        ["python", "pin.py", REGISTRY],
        {"config.json": beside.settings(password)},
        beside=beside.box,
        input=text,
        seconds=PROGRAM_S,
    )


def pinned(work: Work, beside: Registry, text: str) -> str:
    """What the program makes of a text whose images are all there.

    Raises:
        Mismatch: it ends otherwise than well.
    """
    ran = pin(work, beside, text)
    if ran.status:
        raise Mismatch(
            _("exit status 0"),
            _("it ended with status {status}:\n{output}", status=ran.status, output=ran.shown),
            _("every image was there, and the login in config.json is right"),
            _("401 is a login that's missing; 404 can be a kind of manifest that you didn't say you accept"),
        )
    return ran.output


def compose(*names: str) -> str:
    """A Compose file with these images."""
    services = "".join(f"  service-{n}:\n    image: {name}\n    restart: always\n" for n, name in enumerate(names))
    return f"services:\n{services}"


def references(text: str, output: str, names: dict[str, tuple[str, str]]) -> dict[str, str]:
    """The digest that each name was given; all else must be as it was.

    Args:
        names: repository and tag of each name.

    Raises:
        Mismatch: a name has none, or another line has changed.
    """
    found, left = {}, output
    for name, (repository, tag) in names.items():
        form = rf"(image: {REGISTRY}/{re.escape(repository)})(?::{re.escape(tag)})?@(sha256:[0-9a-f]{{64}})(?=\n)"
        match = re.search(form, left)
        if not match:
            shown = next((line for line in output.splitlines() if repository in line), output)
            raise Mismatch(
                _("a digest behind {name}, as in {example}", name=name, example="api:1.0@sha256:…"),
                shown.strip(),
                _("without a digest, the line says something else as soon as the tag moves"),
                _("add what the registry answers in the header {header}", header="Docker-Content-Digest"),
            )
        found[name] = match[2]
        left = left.replace(match[0], f"image: {name}", 1)
    same(
        text,
        left,
        why=_("only the names of images on that registry change"),
        next=_("print every other line as it was read"),
    )
    return found


def require(beside: Registry, repository: str, digest: str, nonces: dict[str, str]) -> None:
    """See that a digest leads to these images.

    Raises:
        Mismatch: to others, or to none.
    """
    [got] = beside.ask(["nonces", repository, digest])
    if got == nonces:
        return
    if isinstance(got, str):
        raise Mismatch(
            _("a manifest of that digest at the registry"),
            _("{digest}: the registry answers {status}", digest=f"{repository}@{digest}", status=got),
            _("an image is pulled by the digest of its manifest, and a config or a layer has another"),
            _("the registry says it in the header {header} of the manifest", header="Docker-Content-Digest"),
        )
    raise Mismatch(
        _("the image for {platforms}, as it was when the program ran", platforms=", ".join(nonces)),
        _("another, for {platforms}", platforms=", ".join(got)),
        _("a machine of another platform must be able to pull it as well, and everybody gets the same version"),
        _("say in the header {header} that you take an index, and use the index's own digest", header="Accept"),
    )


def drawn(work: Work) -> str:
    return f"{work.random.choice(['team', 'data', 'models'])}/api-{work.random.getrandbits(32):08x}"


@check(points=2)
def leaves(work: Work) -> None:
    """What's pinned already, and what's on other registries, stays as it is."""
    with registry(work) as beside:
        old, repository = f"sha256:{secrets.token_hex(32)}", drawn(work)
        beside.push(repository, "1.0")
        text = "# image: to be pinned\n" + compose(
            f"{REGISTRY}/{repository}:1.0@{old}",
            f"{REGISTRY}/{repository}@{old}",
            "registry.test/team/api:1.0",
            "postgres",
        )
        text += f"    environment:\n      NOTE: was {REGISTRY}/{repository}:1.0 before\n"
        same(
            text,
            pinned(work, beside, text),
            why=_("a digest that stands there was chosen, and other registries aren't asked"),
            next=_("change a line only if it begins with `image: ` and that registry, and has no digest"),
        )


@check(points=3)
def pins(work: Work) -> None:
    """What it prints leads to the images that it saw, after their tags have moved."""
    with registry(work) as beside:
        places = {f"{REGISTRY}/{r}:{tag}": (r, tag) for r, tag in ((drawn(work), "1.0"), (drawn(work), "2.0-rc.1"))}
        seen = {name: beside.push(*place) for name, place in places.items()}
        text = compose(*places, "postgres:17")
        found = references(text, pinned(work, beside, text), places)
        for place in places.values():
            beside.push(*place)  # somebody pushes another image under the same tag
        for name, digest in found.items():
            require(beside, places[name][0], digest, seen[name])


@check(points=2, needs=[pins])
def whole_index(work: Work) -> None:
    """An image for several platforms is pinned for all of them."""
    with registry(work) as beside:
        repository = drawn(work)
        nonces = beside.push(repository, "1.0", "amd64", "arm64")
        name = f"{REGISTRY}/{repository}:1.0"
        text = compose(name)
        found = references(text, pinned(work, beside, text), {name: (repository, "1.0")})
        require(beside, repository, found[name], nonces)


@check(points=1, needs=[pins])
def latest(work: Work) -> None:
    """A name without a tag means `latest`."""
    with registry(work) as beside:
        repository = drawn(work)
        nonces = beside.push(repository, "latest")
        name = f"{REGISTRY}/{repository}"
        text = compose(name)
        found = references(text, pinned(work, beside, text), {name: (repository, "latest")})
        require(beside, repository, found[name], nonces)


@check(points=1, needs=[pins])
def refuses(work: Work) -> None:
    """Where an image isn't there, it fails, names the image, and prints no part of the file."""
    with registry(work) as beside:
        there, missing = drawn(work), drawn(work)
        beside.push(there, "1.0")
        ran = pin(work, beside, compose(f"{REGISTRY}/{there}:1.0", f"{REGISTRY}/{missing}:1.0"))
        if not ran.status or missing not in ran.output or "services:" in ran.output:
            raise Mismatch(
                _("a status other than 0, and a message that names {image}, and nothing of the file", image=missing),
                _("status {status}:\n{output}", status=ran.status, output=ran.shown),
                _("half a file, or one with a line that isn't pinned, would be deployed"),
                _("resolve all images before you print, and end with `sys.exit(message)` if one isn't there"),
            )


@check(points=1, needs=[pins])
def keeps_secret(work: Work) -> None:
    """With a wrong password it fails, and the password isn't in what it prints."""
    with registry(work) as beside:
        repository, wrong = drawn(work), secrets.token_hex(12)
        beside.push(repository, "1.0")
        ran = pin(work, beside, compose(f"{REGISTRY}/{repository}:1.0"), wrong)
        told = next((secret for secret in (wrong, coded(wrong)) if secret in ran.output), "")
        if told or not ran.status:
            raise Mismatch(
                _("a status other than 0, and no password, in base64 or not"),
                _("status {status}, and the password is printed", status=ran.status)
                if told
                else _("status {status}", status=ran.status),
                _("what a program prints ends up in logs, and many people read those"),
                _("print the name of the image and the registry's status, and not the request"),
            )

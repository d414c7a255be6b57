"""Lab 14: a program pins images by digest, at a registry with a login, and what it has written leads to them after their tags have moved."""

import base64
import contextlib
import json
import re
import secrets
from dataclasses import dataclass, field
from functools import cache

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, printed, same
from boxlab.labs.lasting import execute

READY_S, PROGRAM_S, TOLD_S = 60, 20, 3
"""How long the registry may take to start, and pin.py to end; and what is left of that to tell what it has printed until then."""

SERVE = """
import os, socket, subprocess, sys, time
open("users", "w").write(subprocess.check_output(["htpasswd", "-B", "-i", "-n", "-C", "4", "ada"], input=sys.argv[1], text=True))
settings = {"REGISTRY_AUTH_HTPASSWD_REALM": "lab", "REGISTRY_AUTH_HTPASSWD_PATH": "/settings/users", "REGISTRY_HTTP_ADDR": ":" + sys.argv[2]}
served = subprocess.Popen(["docker-registry", "serve", "/etc/docker/registry/config.yml"], env=os.environ | settings,
                          stderr=subprocess.DEVNULL)
while True:
    try:
        socket.create_connection(("localhost", int(sys.argv[2]))).close()
        break
    except OSError:
        time.sleep(0.05)
print("ready", flush=True)
served.wait()
"""
"""A registry that asks for a login; its arguments are the password and the port."""

SPEAK = """
import hashlib, json, sys, urllib.error, urllib.request
registry, login, wanted = json.loads(sys.argv[1])
KINDS = {  # of an index, an image, its config and its layer
    "docker": ("distribution.manifest.list.v2+json", "distribution.manifest.v2+json", "container.image.v1+json", "image.rootfs.diff.tar.gzip"),
    "oci": ("image.index.v1+json", "image.manifest.v1+json", "image.config.v1+json", "image.layer.v1.tar+gzip"),
}
KINDS = {family: [f"application/vnd.{family}.{kind}" for kind in kinds] for family, kinds in KINDS.items()}
ACCEPT = ", ".join(kind for kinds in KINDS.values() for kind in kinds[:2])

def ask(method, path, data=None, kind=None):
    headers = {"Authorization": f"Basic {login}", "Accept": ACCEPT} | ({"Content-Type": kind} if kind else {})
    address = path if path.startswith("http") else f"http://{registry}/v2/{path}"
    return urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method))

def blob(repository, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = ask("POST", f"{repository}/blobs/uploads/").headers["Location"]
    ask("PUT", f"{place}&digest={digest}", data, "application/octet-stream")
    return {"size": len(data), "digest": digest}

def put(repository, tag, document):
    data = json.dumps(document, indent=3).encode()  # as nobody writes it who hashes what he has read
    answer = ask("PUT", f"{repository}/manifests/{tag}", data, document["mediaType"])
    return {"mediaType": document["mediaType"], "size": len(data), "digest": answer.headers["Docker-Content-Digest"]}

def push(repository, tag, family, nonces):
    entries, (index, image, config_kind, layer_kind) = [], KINDS[family]
    for platform, nonce in nonces.items():
        settings = {"architecture": platform, "os": "linux", "config": {"Labels": {"nonce": nonce}}, "rootfs": {"type": "layers", "diff_ids": []}}
        config = blob(repository, json.dumps(settings).encode()) | {"mediaType": config_kind}
        layer = blob(repository, nonce.encode()) | {"mediaType": layer_kind}
        manifest = {"schemaVersion": 2, "mediaType": image, "config": config, "layers": [layer]}
        name = tag if len(nonces) == 1 else f"{tag}-{platform}"
        entries.append(put(repository, name, manifest) | {"platform": {"architecture": platform, "os": "linux"}})
    if len(entries) > 1:
        put(repository, tag, {"schemaVersion": 2, "mediaType": index, "manifests": entries})

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

APART = """
import ctypes, json, os, resource, signal, subprocess, sys, tempfile, time
ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: pin.py, of the same user, can't read what this process has in its memory
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
told = json.load(sys.stdin)
streams = {name: tempfile.TemporaryFile() for name in ("stdout", "stderr")}
ended = subprocess.Popen([sys.executable, "pin.py", told["registry"]], stdin=subprocess.PIPE, **streams)
late = False
try:
    ended.communicate(told["text"].encode(), timeout=told["seconds"])
except subprocess.TimeoutExpired:
    late = True
    ended.send_signal(signal.SIGINT)  # whose traceback names the line
    try:
        ended.wait(1)
    except subprocess.TimeoutExpired:
        pass
said = {name: os.pread(stream.fileno(), 1 << 20, 0).decode(errors="replace") for name, stream in streams.items()}
both = "".join(said.values())
if late:
    print(both, flush=True)
    time.sleep(1e6)
print(both if len(both) > 256 << 10 else told["secret"] + json.dumps({"status": ended.returncode, **said}))
"""
"""Runs pin.py, and prints how it has ended and what it has printed on each stream, behind a secret that pin.py can't know.

What is more than a program may print is printed as it is, so that the sandbox says so; and what it has printed where it does not
end, which the sandbox waits for.
"""


ELSEWHERE = "registry.test"
"""Another registry, which nothing may be asked of."""


@dataclass
class Registry:
    """A registry of the check's, which only the learner's program and the check reach."""

    box: object
    name: str
    password: str
    others: list[str] = field(default_factory=list)  # the passwords at other registries

    def settings(self, password: str = "") -> str:
        """config.json, as `docker login` writes it, with logins at other registries before this one's and after it, one of the same host."""
        others = {name: secrets.token_hex(12) for name in (ELSEWHERE, f"{self.name}0", f"my.{ELSEWHERE}")}
        self.others += others.values()
        first, second, last = others.items()
        passwords = dict([first, second, (self.name, password or self.password), last])
        logins = {name: {"auth": coded(known)} for name, known in passwords.items()}
        return json.dumps({"auths": logins}, indent="\t")

    def ask(self, *wanted):
        """What `SPEAK` answers."""
        request = json.dumps([self.name, coded(self.password), wanted])
        said = execute(self.box.spawned.id, ["python3", "-c", SPEAK, request])
        try:
            return json.loads(said)
        except ValueError as error:
            raise BoxlabError(_("the registry of the check: {output}", output=said[-500:]), _("check again")) from error

    def push(self, repository: str, tag: str, family: str, *platforms: str) -> dict[str, str]:
        """Push a new image, in the media types of "docker" or "oci"; its nonces, by platform."""
        nonces = {platform: secrets.token_hex(8) for platform in platforms or ("amd64",)}
        self.ask(["push", repository, tag, family, nonces])
        return nonces


@dataclass
class Ended:
    """How the learner's program has ended, and what it has printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def told(self) -> str:
        """All of it, for a message."""
        return _(
            "status {status}; on stdout:\n{stdout}\non stderr:\n{stderr}",
            status=self.status,
            stdout=printed(self.stdout),
            stderr=printed(self.stderr),
        )


def coded(password: str) -> str:
    return base64.b64encode(f"ada:{password}".encode()).decode()


@contextlib.contextmanager
def registry(work: Work):
    """A registry that runs, with nothing in it."""
    password, port = secrets.token_hex(12), work.random.randrange(10_000, 30_000)
    image = work.image("registry")
    with work.container(image, ["python3", "-c", SERVE, password, str(port)]) as box:
        try:
            box.expect("(ready)", READY_S)
        except Mismatch as late:
            raise BoxlabError(
                _("the registry of the check does not start: {reason}", reason=late.actual), _("check again")
            ) from late
        yield Registry(box, f"localhost:{port}", password)


def pin(work: Work, beside: Registry, text: str, password: str = "") -> Ended:
    """Run the learner's program over a text.

    Raises:
        Mismatch: what started it could not report.
    """
    secret = secrets.token_hex(16)
    ran = work.run(
        ["python", "-c", APART],
        {"config.json": beside.settings(password)},
        beside=beside.box,
        input=json.dumps({"secret": secret, "registry": beside.name, "text": text, "seconds": PROGRAM_S - TOLD_S}),
        seconds=PROGRAM_S,
        name=f"python3 pin.py {beside.name}",
        next=_("run it as in *Try it by hand*, with `{redirection}` after it", redirection="< compose.yaml"),
    )
    found, report = ran.output.rpartition(secret)[1:]
    if not found:
        raise Mismatch(
            _("{program} lets what started it go on", program="pin.py"),
            _("it ended with status {status}:\n{output}", status=ran.status, output=ran.shown),
            _("no answer, nothing to judge"),
            _("kill no process that your program has not started"),
        )
    ended = Ended(**json.loads(report))
    ended.stderr = ended.stderr.replace(f"{ran.folder}/", "")  # a traceback names the file as the learner does
    return ended


def pinned(
    work: Work,
    beside: Registry,
    text: str,
    why: str = _("every image was there, and the login in config.json is right"),
    next: str = "",
) -> str:
    """What the program makes of a text of which nothing fails.

    Args:
        why, next: what to tell of a program that does fail; by default what to do depends on how it has failed.

    Raises:
        Mismatch: it ends otherwise than well.
    """
    ended = pin(work, beside, text)
    if ended.status:
        own = "Traceback" in ended.stderr and "HTTP Error" not in ended.stderr
        raise Mismatch(
            _("exit status 0"),
            ended.told,
            why,
            next
            or (
                _(
                    "mend what the traceback's last line names; besides its standard library, Python has only numpy and pandas here"
                )
                if own
                else _("401 is a login that's missing; 404 can be a kind of manifest that you didn't say you accept")
            ),
        )
    return ended.stdout


def compose(*names: str) -> str:
    """A Compose file with these images."""
    services = "".join(f"  service-{n}:\n    image: {name}\n    restart: always\n" for n, name in enumerate(names))
    return f"services:\n{services}"


def references(text: str, output: str, places: dict[str, tuple[str, str, str]]) -> list[tuple[str, str]]:
    """The digest that each name was given, line by line; all else must be as it was.

    Args:
        places: repository, tag and family of each name.

    Raises:
        Mismatch: a name has none, or another line has changed.
    """
    found, left = [], output.split("\n")
    for row, (line, got) in enumerate(zip(text.split("\n"), output.split("\n"))):
        name = line.strip().removeprefix("image: ")
        if name not in places:
            continue
        tag = f":{places[name][1]}"
        bare = line.removesuffix(tag)
        match = re.fullmatch(rf"{re.escape(bare)}(?:{re.escape(tag)})?@(sha256:[0-9a-f]{{64}})", got)
        if match:
            found.append((name, match[1]))
            left[row] = line
        elif re.sub("[\"']", "", got).startswith(bare) and output.count("\n") == text.count("\n"):
            raise Mismatch(
                _("a digest after {name}, as in {example}", name=name, example="api:1.0@sha256:…"),
                got.strip(),
                _("without a digest, the line says something else as soon as the tag moves"),
                _(
                    "after the name and its tag, add {at} and the value of the header {header}, which already begins with {kind}; "
                    "no quotes",
                    at="`@`",
                    header="Docker-Content-Digest",
                    kind="`sha256:`",
                ),
            )
    same(
        text,
        "\n".join(left),
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
    """A repository: a name of one to three parts, with all that may be in it."""
    parts = work.random.sample(["team", "data_sets", "models.v2"], work.random.randrange(3))
    return "/".join([*parts, f"api-v1.2_{work.random.getrandbits(32):08x}"])


@check(points=3)
def pins(work: Work) -> None:
    """What it prints leads to the images that it saw, after their tags have moved."""
    with registry(work) as beside:
        repository, families = drawn(work), {"1.0": "docker", "1.0_RC-1": "oci"}
        places = {f"{beside.name}/{repository}:{tag}": (repository, tag, family) for tag, family in families.items()}
        seen = {name: beside.push(*place) for name, place in places.items()}
        first = next(iter(places))
        text = f"# image: {first}\n" + compose(*places, first, "postgres:17")
        text += f"    environment:\n      API_IMAGE: {first}\n      NOTE: was {first} before\n"
        found = references(text, pinned(work, beside, text), places)
        for place in places.values():
            beside.push(*place)  # somebody pushes another image under the same tag
        for name, digest in found:
            require(beside, repository, digest, seen[name])


@check(points=2, needs=[pins])
def leaves(work: Work) -> None:
    """What's pinned already, and what's on other registries, stays as it is."""
    with registry(work) as beside:
        old, repository = f"sha256:{secrets.token_hex(32)}", drawn(work)
        beside.push(repository, "1.0", "docker")
        text = "# image: to be pinned  \n\n" + compose(
            f"{beside.name}/{repository}:1.0@{old}",
            f"{beside.name}/{repository}@{old}",
            f"my{beside.name}/{repository}:1.0",
            f"{beside.name}0/{repository}:1.0",
            f"{ELSEWHERE}/team/api:1.0",
            "postgres",
        )
        next = _("change a line only if it begins with `image: ` and that registry, and has no digest")
        why = _("nothing of this text is to be asked of the registry: each image is pinned already, or on another one")
        same(
            text,
            pinned(work, beside, text, why, next),
            why=_("a digest that stands there was chosen, and other registries aren't asked"),
            next=next,
        )


@check(points=2, needs=[pins])
def whole_index(work: Work) -> None:
    """An image for several platforms is pinned for all of them."""
    with registry(work) as beside:
        places = {
            f"{beside.name}/{r}:1.0": (r, "1.0", family)
            for r, family in ((drawn(work), "docker"), (drawn(work), "oci"))
        }
        seen = {name: beside.push(*place, "amd64", "arm64") for name, place in places.items()}
        text = compose(*places)
        for name, digest in references(text, pinned(work, beside, text), places):
            require(beside, places[name][0], digest, seen[name])


@check(points=1, needs=[pins])
def latest(work: Work) -> None:
    """A name without a tag means `latest`."""
    with registry(work) as beside:
        repository = drawn(work)
        place = (repository, "latest", "docker")
        nonces = beside.push(*place)
        name = f"{beside.name}/{repository}"
        text = compose(name)
        for _name, digest in references(text, pinned(work, beside, text), {name: place}):
            require(beside, repository, digest, nonces)


@cache
def ends(work: Work) -> list[tuple[str, list[str], Ended]]:
    """An image, all passwords of config.json, and how it ended with them: where all is well, where the image isn't there, and where the login is wrong."""
    with registry(work) as beside:
        there, missing = drawn(work), drawn(work)
        beside.push(there, "1.0", "docker")
        cases = ((there, beside.password), (missing, beside.password), (there, secrets.token_hex(12)))
        texts = {
            image: compose(f"{beside.name}/{there}:1.0", f"{beside.name}/{image}:1.0") for image in (there, missing)
        }
        ended = [(image, password, pin(work, beside, texts[image], password)) for image, password in cases]
        return [(image, [password, *beside.others], how) for image, password, how in ended]


@check(points=1, needs=[pins])
def refuses(work: Work) -> None:
    """Where an image isn't there, or the login is wrong, it fails, names the image on stderr, and prints nothing on stdout."""
    for event, (image, _passwords, ended) in zip((_("an image isn't there"), _("the login is wrong")), ends(work)[1:]):
        if not ended.status or ended.stdout or image not in ended.stderr or "Traceback" in ended.stderr:
            raise Mismatch(
                _(
                    "when {event}, a status other than 0, nothing on stdout, and on stderr a message that names {image}, "
                    "without a traceback",
                    event=event,
                    image=image,
                ),
                ended.told,
                _("half a file, or one with a line that isn't pinned, would be deployed"),
                _("resolve all images before you print, and end with `sys.exit(message)` if the registry refuses one"),
            )


@check(points=1, needs=[pins])
def keeps_secret(work: Work) -> None:
    """No password of config.json is in what it prints, on either stream, whether it's right or wrong."""
    for _image, passwords, ended in ends(work):
        if any(secret in ended.stdout + ended.stderr for word in passwords for secret in (word, coded(word))):
            raise Mismatch(
                _("no password, in base64 or not"),
                _("status {status}, and the password is printed", status=ended.status),
                _("what a program prints ends up in logs, and many people read those"),
                _("print the name of the image and the registry's status, and not the request"),
            )

"""A learner's Compose file: what reaches beyond its own folder, containers, networks and volumes is refused, by any way round."""

import shutil

import pytest

from boxlab import marks
from boxlab.errors import BoxlabError
from boxlab.labs import Mismatch, Work, compose
from boxlab.labs.work import Planter

NAME = "containers-measured/base"


@pytest.fixture
def folder(tmp_path):
    if not shutil.which("docker") or compose._compose(tmp_path, "version").returncode:
        pytest.skip("no Docker Compose here")
    place = tmp_path / "work"
    place.mkdir()
    (tmp_path / "beside.env").write_text("BESIDE=1\n")
    (tmp_path / "beside.yaml").write_text(f"services: {{other: {{image: {NAME}}}}}\n")
    (place / "mine.env").write_text("MINE=yes\n")
    (place / "index.html").write_text("hello\n")
    (place / "Dockerfile").write_text(f"FROM {NAME}\n")
    (place / "out").symlink_to("/etc")
    return place


def written(folder, text, **files):
    (folder / "compose.yaml").write_text(text)
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def service(text, more=""):
    return f"services:\n  web:\n    image: {NAME}\n    {text}\n{more}\n"


REFUSED = {
    "a folder, short": (service("volumes: [/etc:/etc:ro]"), "web.volumes"),
    "a folder, long": (service("volumes: [{type: bind, source: /etc, target: /etc}]"), "web.volumes"),
    "a folder above": (service("volumes: ['../:/up']"), "web.volumes"),
    "the home folder": (service("volumes: ['~:/home']"), "web.volumes"),
    "a folder by a variable": (service("volumes: ['${HOME}:/home']"), "web.volumes"),
    "a folder by a default": (service("volumes: ['${NOT_SET:-/etc}:/etc']"), "web.volumes"),
    "a folder by a link": (service("volumes: ['./out:/etc']"), "web.volumes"),
    "a folder by .env": (service("volumes: ['${WHERE}:/etc']"), "web.volumes", {"_env": "WHERE=/etc\n"}),
    "a mount that is shared": (
        service("volumes: [{type: bind, source: ., target: /x, bind: {propagation: rshared}}]"),
        "web.volumes",
    ),
    "the engine's socket": (service("volumes: [/var/run/docker.sock:/var/run/docker.sock]"), "web.volumes"),
    "the engine's socket, asked for": (service("use_api_socket: true"), "web."),
    "a named pipe": (service("volumes: [{type: npipe, source: x, target: /x}]"), "web.volumes"),
    "a folder behind a volume": (
        service("volumes: [data:/d]", "volumes: {data: {driver_opts: {type: none, o: bind, device: /etc}}}"),
        "volumes.data.driver_opts",
    ),
    "a driver of volumes": (service("volumes: [data:/d]", "volumes: {data: {driver: nfs}}"), "volumes.data.driver"),
    "another's volume": (service("volumes: [data:/d]", "volumes: {data: {external: true}}"), "volumes.data."),
    "another container's volumes": (service("volumes_from: ['container:theirs']"), "web.volumes_from"),
    "privileged": (service("privileged: true"), "web.privileged"),
    "privileged by an anchor": (
        f"x-base: &base {{image: {NAME}, privileged: true}}\nservices: {{web: {{<<: *base}}}}\n",
        "web.privileged",
    ),
    "privileged by a service": (
        f"services: {{base: {{image: {NAME}, privileged: true, profiles: [never]}}, web: {{extends: base}}}}\n",
        "web.privileged",
    ),
    "privileged by a file": (
        "services: {web: {extends: {file: base.yaml, service: base}}}\n",
        "web.privileged",
        {"base_yaml": f"services: {{base: {{image: {NAME}, privileged: true}}}}\n"},
    ),
    "privileged by an include": (
        "include: [more/base.yaml]\n",
        "base.privileged",
        {"more__base_yaml": f"services: {{base: {{image: {NAME}, privileged: true}}}}\n"},
    ),
    "privileged in a profile": (service("privileged: true\n    profiles: [later]"), "web.privileged"),
    "privileged by a variable": (service("privileged: ${NOT_SET:-true}"), "web.privileged"),
    "a privileged hook": (service("post_start: [{command: id, privileged: true}]"), "web.post_start"),
    "the host's network": (service("network_mode: host"), "web.network_mode"),
    "another container's network": (service("network_mode: 'container:theirs'"), "web.network_mode"),
    "a network by its name": (service("network_mode: theirs"), "web.network_mode"),
    "another's network": (service("networks: [n]", "networks: {n: {external: true, name: x}}"), "networks.n."),
    "the host's network as one of its own": (
        service("networks: [n]", "networks: {n: {name: host, external: true}}"),
        "networks.n.",
    ),
    "the machine's own network": (
        service("networks: [n]", "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}"),
        "networks.n.driver",
    ),
    "the host's processes": (service("pid: host"), "web.pid"),
    "another container's processes": (service("pid: 'container:theirs'"), "web.pid"),
    "the host's memory": (service("ipc: host"), "web.ipc"),
    "the host's users": (service("userns_mode: host"), "web.userns_mode"),
    "the host's name": (service("uts: host"), "web.uts"),
    "the host's control groups": (service("cgroup: host"), "web.cgroup"),
    "a control group of others": (service("cgroup_parent: /system.slice"), "web.cgroup_parent"),
    "a capability": (service("cap_add: [NET_ADMIN]"), "web.cap_add"),
    "a device": (service("devices: ['/dev/mem:/dev/mem']"), "web.devices"),
    "rules for devices": (service("device_cgroup_rules: ['a *:* rwm']"), "web.device_cgroup_rules"),
    "graphics": (service("gpus: all"), "web.gpus"),
    "reserved devices": (
        service("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}"),
        "web.deploy",
    ),
    "without seccomp": (service("security_opt: ['seccomp:unconfined']"), "web.security_opt"),
    "without AppArmor": (service("security_opt: ['apparmor=unconfined']"), "web.security_opt"),
    "more privileges again": (service("security_opt: ['no-new-privileges:false']"), "web.security_opt"),
    "another runtime": (service("runtime: theirs"), "web.runtime"),
    "a setting of the kernel": (service("sysctls: {net.core.somaxconn: 1024}"), "web.sysctls"),
    "never killed": (service("oom_score_adj: -1000"), "web.oom_score_adj"),
    "links to others": (service("external_links: [theirs]"), "web.external_links"),
    "a log elsewhere": (service("logging: {driver: syslog}"), "web.logging"),
    "a file as secret": (service("secrets: [s]", "secrets: {s: {file: /etc/shadow}}"), "secrets.s.file"),
    "a file as config": (service("configs: [c]", "configs: {c: {file: ../beside.env}}"), "configs.c.file"),
    "another's secret": (service("secrets: [s]", "secrets: {s: {external: true}}"), "secrets.s."),
    "a variable as secret": (service("secrets: [s]", "secrets: {s: {environment: HOME}}"), "secrets.s.environment"),
    "a context above": (service("build: .."), "web.build"),
    "a context by an address": (service("build: https://nowhere.invalid/x.git"), "web.build"),
    "a further context": (service("build: {context: ., additional_contexts: {etc: /etc}}"), "web.build"),
    "a Dockerfile elsewhere": (service("build: {context: ., dockerfile: /etc/passwd}"), "web.build"),
    "a build in the host's network": (service("build: {context: ., network: host}"), "web.build"),
    "a build that may do more": (service("build: {context: ., privileged: true}"), "web.build"),
    "a build with other names": (service("build: {context: ., tags: [containers-measured/base]}"), "web.build"),
    "a build by the name of another image": (service("build: ."), "web.image"),
    "keys of the agent": (service("build: {context: ., ssh: [default]}"), "web.build"),
    "a cache elsewhere": (service("build: {context: ., cache_to: ['type=local,dest=/tmp/x']}"), "web.build"),
    "variables of another file": (service("env_file: ../beside.env"), "web.env_file"),
    "variables of another file, long": (
        service("env_file: [{path: /etc/os-release, required: false}]"),
        "web.env_file",
    ),
    "variables by a link": (service("env_file: [out/os-release]"), "web.env_file"),
    "variables by a name that no file has": (service(r'env_file: "a\0b"'), "web.env_file"),
    "variables by a variable": (service("env_file: ['${NOT_SET:-/etc/os-release}']"), "web.env_file"),
    "labels of another file": (service("label_file: /etc/os-release"), "web.label_file"),
    "another file": ("services: {web: {extends: {file: ../beside.yaml, service: other}}}\n", "web.extends"),
    "another file, included": (service("init: true", "include: [../beside.yaml]"), "include.path"),
    "an address, included": (service("init: true", "include: ['https://nowhere.invalid/x.git']"), "include.path"),
    "a folder, included": (
        service("init: true", "include: [{path: more.yaml, project_directory: /etc}]"),
        "include.project_directory",
        {"more_yaml": "services: {}\n"},
    ),
    "another file of an included one": (
        service("init: true", "include: [more.yaml]"),
        "web2.env_file",
        {"more_yaml": f"services: {{web2: {{image: {NAME}, env_file: /etc/os-release}}}}\n"},
    ),
    "files to be watched": (service("develop: {watch: [{path: /etc, action: sync, target: /x}]}"), "web.develop"),
    "what no container is": ("services: {web: {provider: {type: theirs}}}\n", "web.provider"),
    "a model": (service("models: [m]", "models: {m: {model: ai/x}}"), "web.models"),
    "an account of the domain": (service("credential_spec: {file: x.json}"), "web.credential_spec"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_beyond_is_refused_by_service_and_key(folder, name):
    text, where, *files = REFUSED[name]
    for path, content in files[0].items() if files else ():
        written(folder, text, **({path: content} if path != "_env" else {}))
        if path == "_env":
            (folder / ".env").write_text(content)
    written(folder, text)
    with pytest.raises(Mismatch) as caught:
        compose.read(folder, "toy")
    lines = caught.value.actual.splitlines()
    assert [line for line in lines if line.startswith(where)], lines


HELD = f"""
x-common: &common
  init: true
  security_opt: ["no-new-privileges:true"]
  cap_drop: [ALL]
  read_only: true
name: whatever
services:
  web:
    <<: *common
    build: {{context: ., dockerfile: Dockerfile, args: {{A: "1"}}, additional_contexts: {{more: ./more}}}}
    env_file: [mine.env, {{path: perhaps.env, required: false}}]
    volumes: ["./index.html:/www/index.html:ro", "data:/data", "/scratch", {{type: tmpfs, target: /t}}]
    configs: [{{source: page, target: /page}}]
    secrets: [key]
    networks: [front, default]
    ports: ["127.0.0.1:8080:80"]
    deploy: {{resources: {{limits: {{memory: 64m, cpus: "0.5", pids: 20}}}}}}
    post_start: [{{command: ["true"]}}]
    privileged: false
    restart: on-failure
  db:
    extends: {{file: more/base.yaml, service: base}}
    healthcheck: {{test: ["CMD", "true"]}}
    volumes_from: [web:ro]
    develop: {{watch: [{{path: ./more, action: rebuild}}]}}
    profiles: [db]
  side: {{image: {NAME}, network_mode: "service:web", pid: "service:web", ipc: shareable, logging: {{driver: local}}}}
include: [more/included.yaml]
volumes: {{data: {{}}}}
networks: {{front: {{internal: true}}}}
configs: {{page: {{content: hello}}}}
secrets: {{key: {{file: ./mine.env}}}}
"""


def test_what_keeps_to_itself_is_read(folder):
    base, included = (f"services: {{{name}: {{image: {NAME}}}}}\n" for name in ("base", "included"))
    written(folder, HELD, more__base_yaml=base, more__included_yaml=included)
    model = compose.read(folder, "toy")
    assert set(model["services"]) == {"web", "db", "side", "included"} and model["name"] == "toy"
    assert model["services"]["web"]["environment"] == {"MINE": "yes"}
    assert model["volumes"]["data"]["name"] == "toy_data"


def test_all_that_is_refused_is_a_line_each(folder):
    written(folder, service("privileged: true\n    pid: host"))
    with pytest.raises(Mismatch) as caught:
        compose.read(folder, "toy")
    assert sorted(caught.value.actual.splitlines()) == ["web.pid: host", "web.privileged: true"]


@pytest.mark.parametrize(
    "text",
    [
        "services: [",
        "services: {web: {imagine: x}}",
        "- no",
        "",
        "a: &a [*a]\n",
        "services: {1: 2}",
        *(f"x-a: !!{tag}\n{service('init: true')}" for tag in ("bool maybe", 'int ""', "timestamp now")),
        f"include: [{'a' * 300}]\n",
    ],
)
def test_what_is_no_compose_file_is_a_mismatch(folder, text):
    written(folder, text)
    with pytest.raises(Mismatch, match=".") as caught:
        compose.read(folder, "toy")
    assert "docker compose config" in caught.value.expected


def test_a_file_that_is_missing_is_a_mismatch(folder):
    with pytest.raises(Mismatch):
        compose.read(folder, "toy")


def test_our_environment_stays_ours(folder, monkeypatch):
    monkeypatch.setenv("SECRET_OF_OURS", "xyzzy")
    written(folder, service('environment: ["SECRET_OF_OURS", "COPY=${SECRET_OF_OURS:-none}"]'))
    seen = compose.read(folder, "toy")["services"]["web"]["environment"]
    assert seen == {"SECRET_OF_OURS": None, "COPY": "none"}


def test_without_compose_it_is_the_machine(tmp_path, monkeypatch):
    (tmp_path / "compose.yaml").write_text(service("init: true"))
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho \"docker: 'compose' is not a docker command.\" >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BoxlabError, match="Docker Compose is missing") as caught:
        compose.read(tmp_path, "toy")
    assert "docker-compose" in caught.value.fix
    docker.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BoxlabError, match="docker command is missing"):
        compose.read(tmp_path, "toy")


def test_a_check_reads_it_by_its_work(folder):
    written(folder, service("init: true"))
    work = Work("99-toy", folder, folder, Planter(None, 0))
    assert work.compose()["name"] == f"lab-99-toy-{marks.RUN}"

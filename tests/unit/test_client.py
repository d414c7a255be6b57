"""Where the engine is and how it is reached, against engines and configurations that a test makes up."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest
from docker.errors import NotFound
from fake_engine import fake_engine, make_certificates

from boxlab import (
    builder,
    client,
    connection,
    doctor,
    engine,
    experiments,
    images,
    layers,
    paths,
    progress,
    provenance,
    waiting,
)
from boxlab.errors import BoxlabError, EngineError, Unavailable
from boxlab.labs.checks import printed

REMEMBERED = (engine.connect, engine.is_local, engine.is_podman, engine.keeps_packed)
"""What is asked of an engine once."""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A user with an empty configuration and no variables that name an engine or a proxy."""
    for name in list(os.environ):
        if name.startswith("DOCKER_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / ".docker").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(progress, "_SAID", set())
    client.require_proxies.cache_clear()
    for remembered in REMEMBERED:
        remembered.cache_clear()
    yield home
    forget()
    client.require_proxies.cache_clear()


def forget():
    """Hang up: the next test has another engine."""
    if engine.connect.cache_info().currsize:
        engine.connect().close()
    for remembered in REMEMBERED:
        remembered.cache_clear()


@pytest.fixture
def fake(tmp_path, monkeypatch):
    with fake_engine(tmp_path / "engine.sock") as made:
        monkeypatch.setenv("DOCKER_HOST", made.address)
        yield made


def refused() -> EngineError:
    """The one line with its fix that connecting ends with."""
    with pytest.raises(EngineError) as caught:
        engine.connect()
    error = caught.value
    assert error.fix and len(error.args[0].splitlines()) == 1 and len(error.fix.splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("address", "says", "fix"),
    [
        ("/var/run/docker.sock", "no scheme", "DOCKER_HOST=unix:///var/run/docker.sock"),
        ("127.0.0.1:2375", "no scheme", "DOCKER_HOST=tcp://127.0.0.1:2375"),
        ("tcp://127.0.0.1:notaport", "notaport", "unset DOCKER_HOST"),
        ("tcp://127.0.0.1:99999", "65535", "unset DOCKER_HOST"),
        ("tcp://127.0.0.1", "a port", "tcp://HOST:PORT"),
        ("tcp://", "a host", "tcp://HOST:PORT"),
        ("tcp://[::1", "", "tcp://HOST:PORT"),
        ("unix://", "path", "unix:///"),
        ("unix://docker.sock", "path", "unix:///"),
        ("npipe:////./pipe/docker_engine", "npipe", "unset DOCKER_HOST"),
        ("fd://", "fd", "unset DOCKER_HOST"),
        ("http://127.0.0.1:1", "http", "tcp://HOST:PORT"),
        ("nonsense://x", "nonsense", "unset DOCKER_HOST"),
        ("ssh://", "a host", "ssh://USER@HOST"),
        ("ssh://x:y", "y", "ssh://USER@HOST"),
        ("tcp://127.0.0.1:1", "no engine answers", "DOCKER_HOST"),
        ("unix:///etc/passwd/docker.sock", "no engine answers", "DOCKER_HOST"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line_with_a_fix(monkeypatch, address, says, fix):
    monkeypatch.setenv("DOCKER_HOST", address)
    error = refused()
    assert says in error.args[0] and fix in error.fix


def test_an_unknown_host_is_named(monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("DOCKER_HOST", "tcp://no-such-host:2375")
    assert "no machine has the name" in refused().args[0]


def test_sockets_and_ports_are_connected_to(fake, monkeypatch):
    assert engine.connect().ping()
    forget()
    with fake_engine() as other:
        monkeypatch.setenv("DOCKER_HOST", other.address)
        assert engine.connect().ping() and other.asked


SSH = """#!{python}
import socket, sys, threading, os
open({log!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
engine = socket.socket(socket.AF_UNIX)
engine.connect({target!r})
def back():
    while data := engine.recv(65536):
        os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    engine.sendall(data)
"""


def command(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder


def test_an_engine_behind_ssh_is_reached_by_the_systems_own_ssh(fake, monkeypatch, tmp_path):
    log = tmp_path / "log"
    target = fake.address.removeprefix("unix://")
    text = SSH.format(python=sys.executable, log=str(log), target=target)
    monkeypatch.setenv("PATH", f"{command(tmp_path / 'bin', 'ssh', text)}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there:2222")
    assert engine.connect().ping()
    assert not engine.is_local()
    assert log.read_text().splitlines()[0].endswith("-T -l me -p 2222 -- there docker system dial-stdio")
    assert engine.docker_call()[1]["DOCKER_HOST"] == "ssh://me@there:2222"


@pytest.mark.parametrize(
    ("ssh", "says"),
    [
        ("#!/bin/sh\necho 'me@there: Permission denied (publickey).' >&2; exit 255\n", "Permission denied (publickey)"),
        ("#!/bin/sh\nexit 1\n", "without a word"),
        (None, "not installed"),
    ],
)
def test_an_ssh_that_leads_nowhere_is_one_line(monkeypatch, tmp_path, ssh, says):
    folder = command(tmp_path / "bin", "ssh", ssh) if ssh else tmp_path
    monkeypatch.setenv("PATH", f"{folder}:/bin" if ssh else str(folder))
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there")
    error = refused()
    assert says in str(error)


def test_an_ssh_for_which_no_thread_is_allowed_does_not_stay(monkeypatch, tmp_path):
    folder = command(tmp_path / "bin", "ssh", "#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there")
    started, popen = [], connection.subprocess.Popen

    def noted(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    def refused(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(connection.subprocess, "Popen", noted)
    monkeypatch.setattr(connection._Ended, "start", refused)
    with pytest.raises(RuntimeError, match="new thread"):
        engine.connect()
    [ssh] = started
    assert ssh.returncode == -signal.SIGKILL


def meta(home, name, content):
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(content)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        '{"Name": "mine"}',
        '{"Name": "mine", "Endpoints": {}}',
        '{"Name": "mine", "Endpoints": []}',
        '{"Name": "mine", "Endpoints": {"docker": {}}}',
        '{"Name": "mine", "Endpoints": {"docker": {"Host": ""}}}',
        '{"Name": "mine", "Endpoints": {"docker": {"Host": 7}}}',
        '{"Name": "mine", "Endpoints": {"kubernetes": {"Host": "https://x"}}}',
        '{"Name": "mine", "Endpoints": {"docker": {"Host": "npipe:////./pipe/docker_engine"}}}',
    ],
)
def test_a_context_that_names_no_engine_is_one_line(monkeypatch, surroundings, content):
    meta(surroundings, "mine", content)
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    assert "context 'mine'" in refused().args[0]


def test_a_context_is_used_by_us_and_by_the_docker_command(fake, monkeypatch, surroundings):
    monkeypatch.delenv("DOCKER_HOST")
    meta(surroundings, "mine", json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": fake.address}}}))
    (surroundings / ".docker/config.json").write_text('{"currentContext": "mine", "credsStore": "nowhere"}')
    assert engine.connect().ping()
    shown = client.own_config()
    assert json.loads((shown / "config.json").read_text())["currentContext"] == "mine"
    assert (shown / "contexts/meta").is_dir() and "credsStore" not in (shown / "config.json").read_text()
    _, environment = engine.docker_call()
    assert environment["DOCKER_CONFIG"] == str(shown) and "DOCKER_HOST" not in environment


HELPERS = {
    "missing": None,
    "silent": "#!/bin/sh\n",
    "failing": "#!/bin/sh\nexit 1\n",
    "hanging": "#!/bin/sh\nexec sleep 600\n",
    "foreign": "MZ, as programs of Windows begin\n",
}
CONFIGS = {
    "list": "[]",
    "no JSON": "{",
    "not text": "\udcff",
    "bad auth": '{"auths": {"https://index.docker.io/v1/": {"auth": "***"}}}',
    "auths that are a list": '{"auths": []}',
    "helpers that are a list": '{"credHelpers": [], "credsStore": 7}',
} | {
    f"{key} {name}": json.dumps({key: f"test-{name}" if key == "credsStore" else {"docker.io": f"test-{name}"}})
    for name in HELPERS
    for key in ("credsStore", "credHelpers")
}


@pytest.mark.parametrize("name", CONFIGS)
def test_no_configuration_of_credentials_is_in_our_way(fake, monkeypatch, surroundings, tmp_path, name, recwarn):
    (surroundings / ".docker/config.json").write_bytes(CONFIGS[name].encode(errors="surrogateescape"))
    for helper, text in HELPERS.items():
        if text:
            command(tmp_path / "bin", f"docker-credential-test-{helper}", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    fake.answers |= {"/build": {"stream": "ok"}, "/images/create": {"status": "ok"}}
    api = engine.connect().api
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert list(api.build(path=str(folder), decode=True)) == [{"stream": "ok"}]
    assert "ok" in api.pull("python", tag="3")
    assert not recwarn.list


def test_a_folder_in_place_of_the_configuration_and_one_that_is_a_file_are_in_nobodys_way(fake, surroundings):
    (surroundings / ".docker/config.json").mkdir()
    assert engine.connect().ping()
    forget()
    shutil.rmtree(surroundings / ".docker")
    (surroundings / ".docker").write_text("")
    assert engine.connect().ping()


@pytest.mark.parametrize("name", HELPERS)
def test_a_credential_helper_that_does_not_work_is_said_with_its_fix(monkeypatch, surroundings, tmp_path, name):
    monkeypatch.setattr(client, "HELPER_S", 0.2)
    if HELPERS[name]:
        command(tmp_path / "bin", f"docker-credential-{name}", HELPERS[name])
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (surroundings / ".docker/config.json").write_text(json.dumps({"credsStore": name}))
    (trouble,) = client.credentials_trouble()
    assert name in trouble.args[0] and trouble.fix


def test_each_credential_helper_has_its_own_line(monkeypatch, surroundings, tmp_path):
    command(tmp_path / "bin", "docker-credential-foreign", HELPERS["foreign"])
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    helpers = {"credsStore": "foreign", "credHelpers": {"docker.io": "missing"}}
    (surroundings / ".docker/config.json").write_text(json.dumps(helpers))
    foreign, missing = client.credentials_trouble()
    assert "docker-credential-foreign does not run: Exec format error" in foreign.args[0]
    assert "docker-credential-missing is not installed" in missing.args[0] and foreign.fix == missing.fix


def test_a_configuration_that_only_root_may_read_is_in_nobodys_way(surroundings, tmp_path, bound):
    (surroundings / ".docker/contexts").mkdir()
    (surroundings / ".docker").chmod(0)
    program = "import sys; from boxlab import client, paths; paths.CACHE = paths.Path(sys.argv[1]); client.own_config()"
    ran = subprocess.run([*bound, sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    (surroundings / ".docker").chmod(0o700)
    assert (ran.stderr, ran.returncode) == ("", 0)


@pytest.mark.parametrize("told", ["1.52", "1.20", "x", "1", "1.x", "v2"])
def test_a_version_of_the_api_that_the_engine_does_not_speak_is_said(fake, monkeypatch, told):
    monkeypatch.setenv("DOCKER_API_VERSION", told)
    error = refused()
    assert "1.44 to 1.51" in error.args[0] and "unset DOCKER_API_VERSION" in error.fix


def test_a_version_that_it_speaks_is_fine(fake, monkeypatch):
    monkeypatch.setenv("DOCKER_API_VERSION", "1.45")
    assert engine.connect().ping()


def test_an_engine_older_than_the_sdk_is_said(fake):
    fake.answers["/version"] = {"ApiVersion": "1.19"}
    assert "too old" in refused().args[0]


@pytest.mark.parametrize("said", [b"<html>", b"[]", b"{}", b""])
def test_what_answers_and_is_no_engine_is_said(fake, said):
    fake.answers["/version"] = said
    assert "is no engine" in refused().args[0]


def test_an_engine_that_wants_tls_is_said(fake):
    fake.answers["/version"] = (400, b"Client sent an HTTP request to an HTTPS server.\n")
    assert "DOCKER_TLS_VERIFY" in refused().fix


def test_certificates_that_are_missing_are_named(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_text("")
    for name, value in {"HOST": "tcp://127.0.0.1:1", "TLS_VERIFY": "1", "CERT_PATH": str(tmp_path)}.items():
        monkeypatch.setenv(f"DOCKER_{name}", value)
    assert "has no cert.pem, key.pem" in refused().args[0]


def test_an_engine_behind_tls_is_reached_whatever_other_authorities_are_named(monkeypatch, tmp_path, surroundings):
    folder, other = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "others")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other / "ca.pem"))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with fake_engine(certificates=folder) as made:
        monkeypatch.setenv("DOCKER_HOST", made.address)
        monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
        assert engine.connect().ping()
        forget()
        monkeypatch.setenv("DOCKER_CERT_PATH", str(other))
        error = refused()
        assert "no TLS connection" in error.args[0] and "DOCKER_CERT_PATH" in error.fix
        for name in ("HOST", "CERT_PATH", "TLS_VERIFY"):
            monkeypatch.delenv(f"DOCKER_{name}")
        meta(surroundings, "mine", json.dumps({"Name": "mine", "Endpoints": {"docker": {"Host": made.address}}}))
        monkeypatch.setenv("DOCKER_CONTEXT", "mine")
        tls = surroundings / ".docker/contexts/tls" / hashlib.sha256(b"mine").hexdigest() / "docker"
        tls.parent.mkdir(parents=True)
        shutil.copytree(folder, tls)
        assert engine.connect().ping()


@pytest.mark.parametrize("proxy", ["http://user:secret@127.0.0.1:1", "socks5://user:secret@127.0.0.1:1"])
def test_no_proxy_is_between_us_and_this_machine(monkeypatch, tmp_path, proxy):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    with fake_engine(tmp_path / "engine.sock") as on_socket, fake_engine() as on_port:
        for one in (on_socket, on_port):
            monkeypatch.setenv("DOCKER_HOST", one.address)
            forget()
            assert engine.connect().ping()


@pytest.mark.parametrize("proxy", ["http://user:secret@127.0.0.1:1", "socks5://user:secret@127.0.0.1:1"])
def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    error = refused()
    assert "proxy" in error.args[0] and "NO_PROXY" in error.fix and "secret" not in str(error)
    with pytest.raises(EngineError, match="HTTP_PROXY does not answer") as caught:
        client.require_proxies()
    assert "secret" not in str(caught.value)


def test_proxies_of_the_configuration_reach_builds_and_the_environment_goes_first(monkeypatch, surroundings):
    proxies = {"default": {"httpProxy": "http://configured:1", "httpsProxy": "http://configured:2", "other": 3}}
    (surroundings / ".docker/config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("HTTPS_PROXY", "http://said:3")
    assert builder.proxies() == {"HTTP_PROXY": "http://configured:1", "HTTPS_PROXY": "http://said:3"}


@pytest.mark.parametrize("proxy", ["http://user:secret@[::1:3128", "http://user:secret@p:abc", "user:secret@[::1:3128"])
def test_a_proxy_that_is_no_address_is_one_line_without_its_password(monkeypatch, surroundings, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(EngineError, match="HTTP_PROXY does not answer") as caught:
        client.require_proxies()
    assert "secret" not in str(caught.value)
    unreached = builder.Build("unable to connect", "failed", 1)
    fix = images.unbuilt("workload", unreached).fix
    assert "HTTP_PROXY (no address" in fix and "secret" not in fix


def test_no_error_holds_a_password():
    assert "secret" not in str(BoxlabError("no way to http://user:secret@proxy:3128/x and https://u:se@cret@h"))
    assert "me@there" in str(BoxlabError("ssh://me@there"))


@pytest.mark.parametrize("stalls", ["when it is connected to", "later"])
def test_what_is_waited_for_is_said_before_an_engine_that_stalls_answers(fake, monkeypatch, capsys, stalls):
    said, write = [], progress._say

    def say(what):
        write(what)
        said.append(what)
        fake.goes_on.set()  # the engine answers only now

    monkeypatch.setattr(progress, "_say", say)
    if stalls == "later":
        engine.connect()
    fake.goes_on.clear()
    assert engine.connect().ping()
    assert said == [f"the engine at {fake.address} (if this goes on, restart it)"]
    output = capsys.readouterr()
    assert output.err.count(f"waiting for the engine at {fake.address}") == 1 and output.out == ""


@pytest.mark.parametrize(("ask", "is_said"), [("inspect_container", 1), ("stop", 0), ("restart", 0), ("wait", 0)])
def test_a_container_that_takes_its_time_to_end_is_not_taken_for_an_engine_that_stalls(fake, monkeypatch, ask, is_said):
    api = engine.connect().api
    said = []
    monkeypatch.setattr(progress, "waiting", lambda what: said.append(what) or nullcontext())
    with pytest.raises(NotFound):
        getattr(api, ask)("some")
    assert len(said) == is_said


def test_an_engine_that_is_stuck_is_given_up_in_the_end(fake, monkeypatch):
    monkeypatch.setattr(engine, "TIMEOUT_S", 0.2)
    fake.goes_on.clear()
    try:
        with pytest.raises(EngineError, match="did not answer within 0.2 s") as caught:
            engine.connect()
    finally:
        fake.goes_on.set()
    assert caught.value.fix == "restart the engine"


@pytest.mark.parametrize(
    "asked",
    [
        lambda api: list(api.pull("python", stream=True)),
        lambda api: list(api.events(decode=True)),
        lambda api: api.import_image_from_file(__file__, "x"),
    ],
    ids=["pull", "events", "import"],
)
def test_an_engine_that_falls_silent_is_given_up_whatever_it_was_asked(fake, monkeypatch, asked):
    monkeypatch.setattr(engine, "TIMEOUT_S", 0.2)
    api = engine.connect().api
    fake.answers |= {"/images/create": {}, "/events": {}}
    fake.goes_on.clear()
    later = threading.Timer(5, fake.goes_on.set)  # where there were no limit
    later.start()
    try:
        with pytest.raises(EngineError, match="did not answer within 0.2 s"), engine.plain_errors():
            asked(api)
    finally:
        later.cancel()
        fake.goes_on.set()


def test_the_end_of_a_container_may_take_its_time(fake, monkeypatch):
    monkeypatch.setattr(engine, "TIMEOUT_S", 0.2)
    api = engine.connect().api
    fake.answers["/containers/x/wait"] = {"StatusCode": 3}
    fake.goes_on.clear()
    threading.Timer(0.6, fake.goes_on.set).start()
    assert api.wait("x") == {"StatusCode": 3}


def test_whoever_asked_for_less_is_told_how_long_that_was(fake):
    engine.connect()
    fake.goes_on.clear()
    with pytest.raises(EngineError, match="did not answer within 0.2 s"):
        engine.ping(0.2)


LIMIT = "toomanyrequests: You have reached your pull rate limit"


def test_why_the_hub_cannot_be_used_is_what_it_has_said(fake, monkeypatch, capsys):
    fake.answers |= {"/images/create": {"error": LIMIT}, "/images/origin": {}}
    monkeypatch.setattr(images, "_get", lambda reference: None)
    monkeypatch.setattr(images, "_from_packages", lambda tag: images._Origin(tag, "packages"))
    monkeypatch.setattr(images, "passing", lambda name: name)
    with images._origin() as origin:
        assert origin.description == "packages"
    assert f"Docker Hub cannot be used (the engine said: {LIMIT})" in capsys.readouterr().err


def test_a_disk_that_is_full_at_the_pull_takes_no_packages_either(fake, monkeypatch):
    fake.answers["/images/create"] = {"error": "write /var/lib/docker/x: no space left on device"}
    monkeypatch.setattr(images, "_get", lambda reference: None)
    monkeypatch.setattr(images, "_from_packages", lambda tag: pytest.fail("it was tried"))
    with pytest.raises(EngineError, match="the disk is full"), engine.plain_errors(), images._origin():
        pytest.fail("there is no origin")


@pytest.mark.parametrize(
    ("answer", "says", "fix"),
    [
        ((500, {"message": "write /tmp/x: no space left on device"}), "the disk is full: write /tmp/x", "df -h"),
        ((404, {"message": "No such image: x"}), "the engine said: No such image", ""),
    ],
)
def test_why_an_image_is_not_saved_is_told(fake, monkeypatch, tmp_path, answer, says, fix):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    fake.answers |= {"/images/x:latest/json": {"Size": 1}, "/images/get": answer}
    with pytest.raises(EngineError) as caught, layers.saved("x"):
        pytest.fail("nothing was saved")
    assert says in caught.value.args[0] and fix in caught.value.fix


def test_events_are_asked_for_by_the_engines_clock(fake):
    fake.answers["/events"] = {"Action": "die"}
    assert engine.events("x", "die") == [{"Action": "die"}]
    there = 1767225600  # 2026-01-01
    asked = next(path for path in fake.asked if "/events" in path)
    assert f"since={there - 3600}" in asked and f"until={there + 1}" in asked


def test_limits_that_the_engine_discards_are_said(fake):
    fake.answers["/info"] = {"MemoryLimit": False, "PidsLimit": True, "CpuCfsQuota": False}
    assert engine.discarded_limits() == ["memory", "processors"]
    with pytest.raises(EngineError, match="discards limits of memory"):
        engine.require_limits("memory", "processes")
    engine.require_limits("processes")


@pytest.mark.parametrize(("version", "discarded"), [("1", ["processors"]), ("2", [])])
def test_podman_limits_processors_although_it_says_not(fake, version, discarded):
    fake.answers["/version"] = {
        "ApiVersion": "1.41",
        "MinAPIVersion": "1.24",
        "Components": [{"Name": "Podman Engine"}],
    }
    fake.answers["/info"] = {"MemoryLimit": True, "CpuCfsQuota": False, "CgroupVersion": version}
    assert engine.discarded_limits() == discarded
    assert engine.is_podman()
    # By `connect`, and once for all: Podman takes long to answer.
    assert sum("/version" in request for request in fake.asked) == 2


def test_a_network_in_use_stays_also_where_podman_would_remove_it(fake):
    fake.answers["/version"] = {"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
    fake.answers["/containers/json"] = [{"Names": ["/guest"]}]
    with pytest.raises(EngineError, match="containers use the network: guest"):
        engine.remove_network("n1")
    assert not any("/networks/n1" in request for request in fake.asked)


INFO = {
    "SystemTime": "2026-01-01T00:00:00Z",
    "OperatingSystem": "Test",
    "KernelVersion": "6",
    "Driver": "overlay2",
    "DockerRootDir": "/d",
    "Architecture": "x86_64",
}


def test_doctor_says_what_the_client_and_the_limits_lack(fake, monkeypatch, surroundings, tmp_path):
    fake.answers["/info"] = INFO | {"MemoryLimit": False}
    fake.answers["/images/json"] = []
    (surroundings / ".docker/config.json").write_text('{"credsStore": "nowhere"}')
    text = "#!/bin/sh\necho 'Error response from daemon: client version 1.41 is too old.' >&2; exit 1\n"
    monkeypatch.setenv("PATH", f"{command(tmp_path / 'bin', 'docker', text)}:/bin")
    found = [f for check in (doctor._engine, doctor._limits, doctor._configuration) for f in doctor._guarded(check)]
    warned = {f.what: f for f in found if f.state == doctor.State.WARNING}
    assert set(warned) == {"versions", "limits", "docker's configuration"} and all(f.fix for f in warned.values())
    assert "too old" in warned["versions"].detail and "memory" in warned["limits"].detail


def test_an_engines_folder_that_is_closed_costs_none_of_its_lines(fake, monkeypatch):
    def closed(path, real=Path.is_dir):
        if path == Path(INFO["DockerRootDir"]):
            raise PermissionError(13, "Permission denied")
        return real(path)

    fake.answers["/info"] = INFO | {"KernelVersion": doctor.platform.release(), "Runtimes": None}
    monkeypatch.setattr(Path, "is_dir", closed)
    found = {finding.what: finding for finding in doctor._guarded(doctor._engine)}
    assert found["storage"].detail == "overlay2 in /d: images unpacked" and found["runtimes"].detail == "none reported"


def test_an_engine_that_has_null_for_what_it_has_none_of_gets_into_a_record(fake):
    fake.answers["/version"] = {"ApiVersion": "1.51", "Version": "28", "Components": None}
    fake.answers["/info"] = INFO | {"SecurityOptions": None}
    facts = provenance.engine_facts()
    assert facts["security"] == [] and facts["containerd"] is None
    host = {"cpu": "Some CPU", "cpus": 1, "kernel": "6.1", "is_virtual": None}
    assert "overlay2" in provenance.in_words({"host": host, "engine": facts | {"security": None}})


def test_limits_are_not_tried_on_an_engine_that_discards_them(fake):
    fake.answers["/info"] = {"MemoryLimit": False}
    with pytest.raises(EngineError, match="discards limits of memory"):
        experiments.limits()


def test_what_a_learners_program_prints_is_shown_without_a_password():
    assert "secret" not in printed("proxy: http://user:secret@proxy:1")


def test_the_docker_command_speaks_to_the_engine_that_we_speak_to(fake, monkeypatch, tmp_path):
    folder = command(tmp_path / "bin", "docker", "#!/bin/sh\necho $DOCKER_HOST $1; exit 3\n")
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr(client, "_socket", lambda: fake.address.removeprefix("unix://"))
    ran = engine.docker_command("version")
    assert (ran.stdout, ran.returncode) == (f"{fake.address} version\n", 3)


@pytest.mark.parametrize(
    ("there", "usable", "found"),
    [
        (("var", "rootless"), ("rootless",), "rootless"),
        (("var", "podman"), ("podman",), "var"),  # who has Docker and may not use it is told so
        (("podman",), ("podman",), "podman"),
        ((), (), "var"),
    ],
)
def test_of_several_sockets_that_of_dockers_counts_which_may_be_used(monkeypatch, there, usable, found):
    kinds = {
        "/var/run/docker.sock": "var",
        "/run/user/7/docker.sock": "rootless",
        "/run/user/7/podman/podman.sock": "podman",
    }
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr(os.path, "exists", lambda path: kinds.get(str(path)) in there)
    monkeypatch.setattr(os, "access", lambda path, mode: kinds.get(str(path)) in usable)
    assert kinds[str(client._socket())] == found


def test_a_docker_command_that_is_missing_does_not_run_or_hangs_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EngineError, match="is missing"):
        engine.docker_command("version")
    command(tmp_path / "bin", "docker", "no program\n")
    with pytest.raises(EngineError, match="does not run"):
        engine.docker_command("version")
    command(tmp_path / "bin", "docker", "#!/bin/sh\nexec /bin/sleep 60\n")
    with pytest.raises(EngineError, match="did not end"):
        engine.docker_command("version", seconds=0.1)


GROUP = """#!/bin/sh
trap 'echo heard >>{log}' INT
/bin/sleep 600 &
echo $$ $(/bin/ps -o pgid= -p $$) $! >{log}.new
mv {log}.new {log}
wait
"""


def test_what_is_typed_at_the_terminal_ends_the_docker_command_with_all_it_has_started_by_us_alone(
    monkeypatch, tmp_path
):
    """As Compose, which is a plug-in's own process, and holds what the command prints."""
    log = tmp_path / "log"
    folder = command(tmp_path / "bin", "docker", GROUP.format(log=log))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def interrupt():
        waiting.until(log.exists)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    told = threading.Thread(target=interrupt)
    told.start()
    with pytest.raises(KeyboardInterrupt):
        engine.docker_command("compose", "up")
    told.join()
    leader, group, plugin = map(int, log.read_text().split())
    assert leader == group
    with suppress(psutil.NoSuchProcess):
        waiting.until(lambda: psutil.Process(plugin).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("unix:///var/run/docker.sock", True),
        ("tcp://127.0.0.1:2375", True),
        ("tcp://server:2376", False),
        ("ssh://me@server", False),
    ],
)
def test_whether_an_engine_publishes_at_this_machine(monkeypatch, address, here):
    monkeypatch.setattr(engine, "host", lambda: address)
    with nullcontext() if here else pytest.raises(Unavailable, match="127.0.0.1"):
        engine.require_ports_here()

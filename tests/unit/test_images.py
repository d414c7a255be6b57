import contextlib
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from boxlab import doctor, images, marks, paths, provenance
from boxlab.builder import Build
from boxlab.errors import BuildError

BUILT = images.Built("x", "t", "sha256:1", {}, [], "/", {}, False)
PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


def test_parents_come_before_children():
    names = images.names()
    assert names[0] == "base"
    assert names.index("workload") < names.index("full-vm")


def test_the_key_follows_files_and_parent(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM x")
    parent = replace(BUILT, layers=("one",), labels={images.KEY_LABEL: "key"})
    key = images._key(tmp_path, parent)
    assert images._key(tmp_path, replace(parent, id="its id on another image store")) == key
    assert images._key(tmp_path, replace(parent, layers=("other",))) != key
    assert images._key(tmp_path, replace(parent, labels={images.KEY_LABEL: "other"})) != key
    (tmp_path / "Dockerfile").write_text("FROM y")
    assert images._key(tmp_path, parent) != key


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A base image that was made on a machine with these certificate authorities, and asked for on one with those."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "Dockerfile").write_text("FROM ${ORIGIN}")
    monkeypatch.setattr(images.paths, "IMAGES", tmp_path)

    def find(made_with, asked_with):
        labels = {images.KEY_LABEL: images._key(tmp_path / "base", None)}
        labels[images.CERTIFICATES_LABEL] = " ".join(images._fingerprint(pem) for pem in made_with)
        image = SimpleNamespace(id="sha256:1", labels=labels, attrs={"Config": {}})
        monkeypatch.setattr(images, "_get", lambda reference: image)
        monkeypatch.setattr(images.engine, "images", lambda **which: [])
        monkeypatch.setattr(images, "extra_certificates", lambda: asked_with)
        return images.find("base")

    return find


@pytest.mark.parametrize(
    ("made_with", "asked_with", "serves"),
    [
        ([], [], True),
        ([PEM % b"a"], [], True),
        ([PEM % b"a", PEM % b"b"], [PEM % b"b"], True),
        ([PEM % b"b"], [(PEM % b"b").replace(b"\n", b"\r\n")], True),
        ([PEM % b"a"], [PEM % b"b"], False),
        ([], [PEM % b"b"], False),
    ],
)
def test_a_colleagues_base_image_serves_unless_it_lacks_an_authority_that_is_needed_here(
    base, made_with, asked_with, serves
):
    assert bool(base(made_with, asked_with)) == serves


def test_a_base_image_that_lacks_an_authority_is_made_again_with_a_line_that_says_so(base, monkeypatch, capsys):
    base([], [PEM % b"b"])
    monkeypatch.setattr(images, "_origin", lambda: contextlib.nullcontext(images._Origin("origin", "somewhere")))
    monkeypatch.setattr(images, "_build", lambda *arguments: None)
    images._build_base(images.paths.IMAGES / "base", {})
    assert "made again, with 1 certificate authorit" in capsys.readouterr().err


UNREACHED = "#5 12.3 E: Failed to fetch something  Could not connect to 10.1.2.3:3128 (10.1.2.3), connection timed out"


@pytest.mark.parametrize(
    "line",
    [
        UNREACHED,
        "  Temporary failure resolving 'deb.debian.org'",
        "ProxyError('Cannot connect to proxy.', timeout)",
        "dial tcp: lookup registry on 10.0.0.1:53: no such host",
    ],
)
def test_a_network_that_is_in_the_way_is_not_the_dockerfiles_fault(line, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://someone:secret@proxy.example:3128")
    error = images.unbuilt("full-vm", Build(f"#4 [2/2] RUN apt-get update\n{line}\nexit code: 100\n", "failed", 1))
    assert line.strip() in str(error) and "http_proxy (proxy.example:3128)" in error.fix
    assert "Dockerfile" not in error.fix and "secret" not in str(error)


def test_a_dockerfile_that_fails_by_itself_is_named():
    error = images.unbuilt("stress", Build("#4 [2/2] RUN false\nexit code: 1\n", "failed", 1), "look there")
    assert "RUN false" in error.args[0] and error.fix == "look there"


def test_an_image_of_which_the_engine_leaves_out_what_is_empty():
    image = SimpleNamespace(id="sha256:1", labels={}, attrs={"Config": {}})
    built = images._built("base", image, fresh=False)
    assert (built.environment, built.command, built.working_dir) == ({}, [], "/")


def test_only_certificates_beyond_the_public_ones_are_taken(tmp_path, monkeypatch):
    (tmp_path / "bundle.pem").write_bytes(images.Path(images.certifi.where()).read_bytes() + PEM % b"T3VycyBhbG9uZQ==")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    before = images.extra_certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    assert PEM % b"T3VycyBhbG9uZQ==" in before()
    monkeypatch.delenv("SSL_CERT_FILE")
    assert PEM % b"T3VycyBhbG9uZQ==" not in before()


def test_an_authority_that_only_root_may_read_is_left_out_and_doctor_says_so(tmp_path, monkeypatch):
    closed, read = tmp_path / "closed.pem", Path.read_bytes
    closed.write_bytes(PEM % b"T3VycyBhbG9uZQ==")

    def refused(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    before = images.extra_certificates()
    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setenv("SSL_CERT_FILE", str(closed))
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "missing.pem"))
    assert PEM % b"T3VycyBhbG9uZQ==" not in images.extra_certificates()
    assert set(images.extra_certificates()) <= set(before)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))  # a folder, which holds authorities only for some programs
    assert {closed, tmp_path / "missing.pem", tmp_path} <= set(images.unread_certificates())
    _known, unread = doctor._certificates()
    assert str(closed) in unread.detail and "chmod" in unread.fix


def test_authorities_where_another_linux_keeps_them_are_found(monkeypatch, tmp_path):
    (tmp_path / "company.pem").write_bytes(PEM % b"T3VycyBhbG9uZQ==")
    assert PEM % b"T3VycyBhbG9uZQ==" not in images.extra_certificates()
    monkeypatch.setattr(images, "LOCAL_AUTHORITIES", {"/nowhere": {".pem"}, str(tmp_path): {".crt"}})
    assert PEM % b"T3VycyBhbG9uZQ==" not in images.extra_certificates(), "the system does not read it there either"
    monkeypatch.setattr(images, "LOCAL_AUTHORITIES", {str(tmp_path): {".crt", ".pem"}})
    assert PEM % b"T3VycyBhbG9uZQ==" in images.extra_certificates()


def test_an_unknown_image_is_named_with_the_known_ones():
    with pytest.raises(BuildError, match="one of: base"):
        images.ensure("nothing")


def test_no_dockerfile_uses_what_only_one_builder_knows():
    for dockerfile in images.paths.IMAGES.glob("*/Dockerfile"):
        text = dockerfile.read_text()
        for word in ("# syntax", "--mount", "--link", "--chmod", "<<"):
            assert word not in text, f"{dockerfile}: {word}"


def test_every_from_is_ours_or_the_origin():
    dockerfiles = list(images.paths.IMAGES.glob("*/Dockerfile"))
    assert dockerfiles
    for dockerfile in dockerfiles:
        for line in dockerfile.read_text().splitlines():
            if line.startswith("FROM "):
                assert line.startswith((f"FROM {images.PREFIX}", "FROM ${ORIGIN}"))


def test_a_learners_program_has_the_packages_that_the_book_has():
    lines = (images.paths.ROOT / "requirements.txt").read_text().splitlines()
    locked = {line.rstrip(" \\") for line in lines}
    theirs = (images.paths.IMAGES / "learner" / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in theirs} >= {"numpy", "pandas", "scipy"}
    assert set(theirs) <= locked


def test_a_readers_image_that_stands_on_ours_gets_into_no_record(monkeypatch):
    """It has inherited our labels; ours are known by the names that we gave them."""
    labels = {images.engine.LABEL: "1", images.ORIGIN_LABEL: "somewhere"}
    base, theirs = (SimpleNamespace(id=name, tags=[name], labels=labels) for name in ("base", "acme/secret-model"))
    monkeypatch.setattr(images, "_get", lambda reference: base if reference == f"{images.PREFIX}base" else None)
    monkeypatch.setattr(images.engine, "images", lambda **which: [base, theirs])
    assert provenance.image_facts() == {"base_origin": "somewhere", "ids": {"base": "base"}}


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_where_a_home_is_closed_the_base_is_made_where_its_maker_may_go(tmp_path, monkeypatch, mode):
    home = tmp_path / "home"
    (home / "scratch").mkdir(parents=True)
    home.chmod(mode)
    monkeypatch.setattr(paths, "OPEN", tmp_path)
    real = Path.stat
    above = frozenset(home.parents)
    monkeypatch.setattr(  # pytest's own folders are closed as well
        Path, "stat", lambda path, **how: real(Path("/")) if path in above else real(path, **how)
    )
    monkeypatch.setattr(paths, "scratch", lambda: home / "scratch")
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with images._reachable() as folder:
        monkeypatch.undo()
        assert folder.stat().st_mode & 0o001
        assert (folder == home / "scratch") == (mode == 0o755)
        assert marks.RUN in folder.name or mode == 0o755
    assert folder.exists() == (mode == 0o755)


@pytest.mark.parametrize(
    ("podman", "there", "ours"),
    [
        (True, "api:x", "api:x"),
        (True, "docker.io/api:x", "api:x"),
        (True, "localhost/api:x", "api:x"),
        (False, "localhost/api:x", "localhost/api:x"),  # another image than api:x, and maybe the reader's
    ],
)
def test_a_name_is_written_as_docker_writes_it_whatever_podman_puts_before(monkeypatch, podman, there, ours):
    monkeypatch.setattr(images.engine, "is_podman", lambda: podman)
    assert images.short_name(there) == ours

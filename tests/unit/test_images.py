import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

from boxlab import images
from boxlab.errors import BuildError

BUILT = images.Built("x", "t", "sha256:1", {}, [], "/", {}, False)
PEM = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"


def test_parents_come_before_children():
    names = images.names()
    assert names[0] == "base"
    assert names.index("workload") < names.index("full-vm")


def test_the_key_follows_files_and_parent(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM x")
    parent, other = (replace(BUILT, id=name) for name in ("parent", "other"))
    key = images._key(tmp_path, parent)
    assert images._key(tmp_path, parent) == key
    assert images._key(tmp_path, other) != key
    (tmp_path / "Dockerfile").write_text("FROM y")
    assert images._key(tmp_path, parent) != key


def test_the_bases_key_follows_this_hosts_authorities(tmp_path, monkeypatch):
    (tmp_path / "Dockerfile").write_text("FROM x")
    keys = set()
    for authorities in ([], [PEM]):
        monkeypatch.setattr(images, "extra_certificates", lambda found=authorities: found)
        keys.add(images._key(tmp_path, None))
    assert len(keys) == 2


def test_an_image_of_which_the_engine_leaves_out_what_is_empty():
    image = SimpleNamespace(id="sha256:1", labels={}, attrs={"Config": {}})
    built = images._built("base", image, fresh=False)
    assert (built.environment, built.command, built.working_dir) == ({}, [], "/")


def test_the_context_is_the_same_whenever_it_is_packed(tmp_path):
    (tmp_path / "a").write_text("1")
    first = images._tar(tmp_path, {}).getvalue()
    (tmp_path / "a").touch()
    assert images._tar(tmp_path, {}).getvalue() == first


def test_generated_files_join_the_context(tmp_path):
    with tarfile.open(fileobj=images._tar(tmp_path, {"certificates/host-0.crt": PEM})) as tar:
        assert tar.getnames() == ["certificates/host-0.crt"]


def test_only_certificates_beyond_the_public_ones_are_taken(tmp_path, monkeypatch):
    (tmp_path / "bundle.pem").write_bytes(images.Path(images.certifi.where()).read_bytes() + PEM % b"T3VycyBhbG9uZQ==")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    before = images.extra_certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    assert PEM % b"T3VycyBhbG9uZQ==" in before()
    monkeypatch.delenv("SSL_CERT_FILE")
    assert PEM % b"T3VycyBhbG9uZQ==" not in before()


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

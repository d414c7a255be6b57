"""What the second engine is asked for, and how its images are named, where it is Podman that runs it."""

import contextlib
import types

import pytest

from boxlab import second_engine
from boxlab.second_engine import SecondEngine


@pytest.fixture
def asked(monkeypatch):
    """What a second engine's container was asked for; it says at once that it is ready."""
    words = {}
    console = types.SimpleNamespace(wait_for=lambda *_: "1.45 26.1.5")
    image = types.SimpleNamespace(tag="engine", command=[])
    container = types.SimpleNamespace(id="c")
    monkeypatch.setattr(second_engine.images, "ensure", lambda name: image)
    monkeypatch.setattr(second_engine.engine, "is_rootless", lambda: False)
    monkeypatch.setattr(second_engine, "EngineContainer", lambda *_, **more: words.update(more) or container)
    monkeypatch.setattr(second_engine, "Console", lambda *_: console)
    return words


@pytest.mark.parametrize("rootless", [True, False])
def test_a_rootless_engine_is_asked_for_no_rules_of_devices(monkeypatch, asked, rootless):
    monkeypatch.setattr(second_engine.engine, "is_podman", lambda: False)
    monkeypatch.setattr(second_engine.engine, "is_rootless", lambda: rootless)
    SecondEngine()
    assert ("device_cgroup_rules" in asked) is not rootless


@pytest.mark.parametrize("podman", [True, False])
def test_podman_unmasks_the_kernels_files_by_an_option_of_its_own(monkeypatch, asked, podman):
    monkeypatch.setattr(second_engine.engine, "is_podman", lambda: podman)
    SecondEngine()
    assert ("unmask=ALL" in asked["security_opt"]) is podman
    assert "MKNOD" in asked["cap_add"]  # Podman's containers lack it, and a layer's removals are devices


def test_an_image_that_podmans_command_has_named_has_its_name_in_the_second_engine(monkeypatch, asked, tmp_path):
    api = types.SimpleNamespace(put_archive=lambda *_: True)
    (tmp_path / "saved.tar").touch()
    archive = types.SimpleNamespace(name=str(tmp_path / "saved.tar"))
    monkeypatch.setattr(second_engine.engine, "is_podman", lambda: True)
    monkeypatch.setattr(second_engine.engine, "connect", lambda: types.SimpleNamespace(api=api))
    monkeypatch.setattr(second_engine.layers, "saved", lambda tag: contextlib.nullcontext(archive))
    ran = []

    def run(*command):
        ran.append(command)
        return "Loaded image: localhost/api:1\n" if "load" in command else ""

    started = SecondEngine()
    monkeypatch.setattr(started, "run", run)
    started.load("api:1")
    assert ran[-1] == ("docker", "tag", "localhost/api:1", "api:1")

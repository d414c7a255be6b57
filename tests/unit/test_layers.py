"""Layers are read alike from what each image store saves; no engine."""

import errno
import gzip
import io
import json
import os
import tarfile
from types import SimpleNamespace

import pytest

from boxlab import layers
from boxlab.errors import EngineError

FILES = {"upper": b"x" * 5000, "lower": os.urandom(3000)}
IDS = ["sha256:lower", "sha256:upper"]


def archive(images, pack):
    """What is saved of some images, each a list of layers; `pack` is how their store keeps a layer."""
    buffer, entries = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        for number, names in enumerate(images):
            add(f"config-{number}", json.dumps({"rootfs": {"diff_ids": [f"sha256:{name}" for name in names]}}).encode())
            entries.append({"Config": f"config-{number}", "Layers": [f"{number}/{name}" for name in names]})
            for name in names:
                add(f"{number}/{name}", pack(FILES[name]))
        add("manifest.json", json.dumps(entries).encode())
    return buffer.getvalue()


def answers(monkeypatch, info):
    """What the engine says of itself."""
    monkeypatch.setattr(layers.engine, "connect", lambda: SimpleNamespace(info=lambda: info))


@pytest.fixture
def saves(monkeypatch, tmp_path):
    """An engine that saves an image so."""
    monkeypatch.setattr(layers.paths, "SCRATCH", tmp_path)
    monkeypatch.setattr(layers, "hashes", lambda tag: IDS)
    monkeypatch.setattr(layers, "_REMEMBERED", tmp_path / "layers.json")
    answers(monkeypatch, {"ID": "one", "Driver": "overlayfs"})

    def use(images=(("lower", "upper"),), pack=bytes):
        data = archive(images, pack)
        monkeypatch.setattr(layers, "_save", lambda tags, file: file.write(data))

    return use


def test_an_archive_that_does_not_fit_on_the_disk_names_its_path(monkeypatch, tmp_path):
    def full(_tags, _file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(layers.paths, "SCRATCH", tmp_path)
    monkeypatch.setattr(layers, "_save", full)
    with pytest.raises(OSError) as caught, layers.saved("x"):
        pytest.fail("it was saved")
    assert caught.value.filename.startswith(str(tmp_path / "image-"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["overlay2", "containerd"])
def test_sizes_are_the_same_on_each_image_store(saves, pack):
    saves(pack=pack)
    assert layers.unpacked("x", without={"sha256:lower"}) == {"sha256:upper": 5000}
    found = {layer.id: layer for layer in layers.layers("x")}
    assert {name: layer.size for name, layer in found.items()} == layers.unpacked("x")
    assert found["sha256:upper"].compressed < 200 and 3000 <= found["sha256:lower"].compressed < 3200
    assert [layer.id for layer in layers.layers("x", without={"sha256:lower"})] == ["sha256:upper"]
    assert found["sha256:upper"].stored == len(pack(FILES["upper"]))


def test_images_are_saved_together_and_only_those_with_layers_that_are_asked_for(saves, monkeypatch):
    saves(images=(("lower",), ("lower", "upper")))
    have, saved = {"base": IDS[:1], "a": IDS, "b": IDS}, []
    monkeypatch.setattr(layers, "hashes", have.__getitem__)
    monkeypatch.setattr(layers, "_save", lambda tags, file, save=layers._save: (saved.append(tags), save(tags, file)))
    [upper] = layers.layers("base", "a", "b", without=IDS[:1])
    assert (upper.id, upper.images) == ("sha256:upper", ("a", "b"))
    assert layers.layers("base", without=IDS) == [] and saved == [("a:latest", "b:latest")]


def test_a_layer_is_saved_once_on_an_engine_and_its_store(saves, monkeypatch):
    saves()
    saved = []
    monkeypatch.setattr(layers, "_save", lambda tags, file, save=layers._save: (saved.append(tags), save(tags, file)))
    [upper] = layers.layers("x", without=IDS[:1])
    assert layers.layers("x", without=IDS[:1]) == [upper] and len(saved) == 1
    assert [layer.id for layer in layers.layers("x")] == IDS and len(saved) == 2
    for number, info in enumerate([{"ID": "one", "Driver": "overlay2"}, {"ID": "two", "Driver": "overlay2"}], 3):
        answers(monkeypatch, info)
        assert layers.layers("x", without=IDS[:1]) == [upper] and len(saved) == number
    for each in ("three", "four"):  # Podman says another each time
        answers(monkeypatch, {"ID": each, "BuildahVersion": "1", "Driver": "overlay"})
        layers.layers("x", without=IDS[:1])
    assert len(saved) == 6
    assert json.loads(layers._REMEMBERED.read_text()).keys() == {"one, overlayfs", "one, overlay2", "two, overlay2"}


def test_of_the_layers_that_are_remembered_those_stay_that_were_used_last(saves, monkeypatch):
    saves()
    layers.layers("x")
    monkeypatch.setattr(layers, "_MOST", 1)
    layers._remember(layers._remembered(), {"x": IDS[:1]})
    assert [*layers._remembered()] == IDS[:1]


def test_a_size_that_cannot_be_remembered_is_measured_again(saves, monkeypatch, tmp_path):
    saves()
    (tmp_path / "file").touch()
    monkeypatch.setattr(layers, "_REMEMBERED", tmp_path / "file" / "layers.json")
    assert layers.layers("x") == layers.layers("x") != []


def test_of_an_image_for_two_architectures_the_engines_own_is_read(saves):
    saves(images=(("upper",), ("lower", "upper")))
    assert list(layers.unpacked("x")) == IDS


def test_an_archive_of_something_else_is_refused(saves):
    saves(images=(("upper",),))
    with pytest.raises(EngineError, match="other layers"):
        layers.unpacked("x")


LOST = "content digest sha256:2d9e: not found"


@pytest.mark.parametrize(
    ("kept", "more", "why"),
    [
        (0, json.dumps({"errorDetail": {"message": LOST}, "error": LOST}) + "\r\n", LOST),
        (700, json.dumps({"errorDetail": {"message": LOST}, "error": LOST}) + "\r\n", LOST),
        (1024, "", "not found"),
        (700, "", "unexpected end of data"),
        (0, "<html>", "truncated header"),
    ],
)
def test_an_archive_that_the_engine_does_not_end_is_told_with_its_reason(saves, monkeypatch, kept, more, why):
    saves()
    data = archive((("lower", "upper"),), bytes)[:kept] + more.encode()
    monkeypatch.setattr(layers, "_save", lambda tags, file: file.write(data))
    with pytest.raises(EngineError, match="the engine has not saved the image") as caught:
        layers.unpacked("x")
    assert why in caught.value.args[0] and caught.value.fix == "pull or build it again"


def test_two_images_can_be_open_at_once_and_none_stays(saves, tmp_path):
    saves()
    with layers.saved("one") as one:
        with layers.saved("two") as two:
            assert one.name != two.name and len(list(tmp_path.iterdir())) == 2
        assert [layer for layer, _ in layers.layer_files(one, IDS)] == IDS
    assert list(tmp_path.iterdir()) == []

"""What the doctor says of an engine that is only pretended."""

from types import SimpleNamespace

import pytest

from boxlab import doctor, engine


@pytest.fixture
def storage(monkeypatch):
    """The row of an engine that says this of itself."""

    def row(**info):
        monkeypatch.setattr(engine, "connect", lambda: SimpleNamespace(info=lambda: info))
        engine.keeps_packed.cache_clear()
        return doctor._storage(info)

    yield row
    engine.keeps_packed.cache_clear()


@pytest.mark.parametrize("status", [None, [["Backing Filesystem", "extfs"]], [["Backing Filesystem", True]]])
def test_an_engine_that_keeps_images_unpacked_in_its_own_folder(storage, status):
    said = storage(Driver="overlay2", DriverStatus=status, DockerRootDir="/var/lib/docker")
    assert said == "overlay2 in /var/lib/docker: images unpacked"


def test_an_engine_whose_images_lie_with_containerd(storage):
    status = [["driver-type", "io.containerd.snapshotter.v1"]]
    said = storage(Driver="overlayfs", DriverStatus=status, DockerRootDir="/var/lib/docker")
    assert "containerd's own folder" in said and "overlayfs in /var/lib/docker" not in said

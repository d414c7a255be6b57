"""What the doctor says of an engine that is only pretended."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from boxlab import doctor, engine


@pytest.fixture
def storage(monkeypatch):
    """The row of an engine that says this of itself."""

    def row(**info):
        monkeypatch.setattr(engine, "host", lambda: "tcp://elsewhere:2376")
        monkeypatch.setattr(engine, "connect", lambda: SimpleNamespace(info=lambda: info))
        engine.keeps_packed.cache_clear()
        return doctor._storage(info).detail

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


def test_a_small_disk_of_temporary_files_is_enough_and_has_a_fix_of_its_own(monkeypatch):
    def free(gib):
        monkeypatch.setattr(
            doctor.os, "statvfs", lambda folder: SimpleNamespace(f_flag=0, f_files=0, f_bavail=gib * 2**30, f_frsize=1)
        )

    free(1)
    assert doctor._free("disk", Path("/")).state == doctor.State.WARNING
    small = doctor._free("temporary files", Path("/"), enough_gib=doctor.FULL_GIB)
    assert (small.state, small.fix) == (doctor.State.OK, "")
    free(0.01)
    full = doctor._free("temporary files", Path("/"), enough_gib=doctor.FULL_GIB)
    assert full.state == doctor.State.FAILURE and "TMPDIR" in full.fix

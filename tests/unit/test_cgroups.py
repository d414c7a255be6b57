"""Control groups with version 1, version 2 and both, on pretended trees."""

import pytest

from boxlab import cgroups, marks


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A function that makes the trees of a kernel: version 1, 2, or both; the kernel's files appear with each folder."""
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    mkdir, rmdir = type(tmp_path).mkdir, type(tmp_path).rmdir
    files = {
        "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        "cpu": ("cpu.cfs_quota_us",),
        "pids": ("pids.max",),
    }
    version_2 = ("memory.max", "memory.swap.max", "cpu.max", "pids.max")

    def make(*controllers, unified=None):
        for controller in controllers:
            mkdir(tmp_path / controller)
        if unified:
            mkdir(tmp_path / unified, exist_ok=True)

    def populated(folder, *arguments, **options):
        mkdir(folder, *arguments, **options)
        of_version_2 = folder.parent.name == "unified" or not any((tmp_path / name).is_dir() for name in files)
        for name in (*files.get(folder.parent.name, version_2 if of_version_2 else ()), "cgroup.procs"):
            (folder / name).write_text("")

    def emptied(folder):
        for file in folder.iterdir():
            file.unlink()
        rmdir(folder)

    monkeypatch.setattr(type(tmp_path), "mkdir", populated)
    monkeypatch.setattr(type(tmp_path), "rmdir", emptied)
    return make


def limits(group):
    return {
        f"{folder.parent.name}/{file.name}": file.read_text()
        for folder in group.folders
        for file in folder.iterdir()
        if file.name != "cgroup.procs"
    }


def test_version_1_has_a_folder_for_each_controller(tree, tmp_path):
    tree("memory", "cpu", "pids")
    group = cgroups.make(marks.name(), memory_bytes=1 << 20, cpus=0.5, processes=7)
    assert limits(group) == {
        "memory/memory.limit_in_bytes": "1048576",
        "memory/memory.memsw.limit_in_bytes": "1048576",
        "cpu/cpu.cfs_quota_us": "50000",
        "pids/pids.max": "7",
    }
    assert len(cgroups.ours()) == 3
    group.remove()
    assert cgroups.ours() == [] and cgroups.version() == 1


def test_version_2_has_one_folder_and_no_swap(tree, tmp_path):
    tree()
    group = cgroups.make(f"{marks.prefix()}a", memory_bytes=1 << 20, cpus=2, processes=7)
    [folder] = group.folders
    assert folder == tmp_path / f"{marks.prefix()}a"
    assert (folder / "memory.max").read_text() == "1048576" and (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "cpu.max").read_text() == "200000 100000"
    assert cgroups.found(f"{marks.prefix()}a") == group and cgroups.version() == 2


def test_a_controller_that_version_1_lacks_is_looked_for_in_version_2(tree, tmp_path):
    tree("memory", "cpu", unified="unified")
    group = cgroups.make(f"{marks.prefix()}b", memory_bytes=1 << 20, processes=7)
    assert group.folders == (tmp_path / "memory" / f"{marks.prefix()}b", tmp_path / "unified" / f"{marks.prefix()}b")


def test_two_names_of_one_tree_are_one_group(tree, tmp_path):
    tree("cpu,cpuacct")
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).symlink_to("cpu,cpuacct")
    (tmp_path / "cpu,cpuacct" / f"{marks.prefix()}c").mkdir()
    assert cgroups.ours() == [tmp_path / "cpu,cpuacct" / f"{marks.prefix()}c"]


def test_a_kernel_that_hands_out_no_such_controller_leaves_nothing(tree, tmp_path):
    tree("memory", "pids")
    with pytest.raises(OSError, match="hands out no cpu"):
        cgroups.make(f"{marks.prefix()}d", memory_bytes=1 << 20, cpus=1)
    assert cgroups.ours() == []

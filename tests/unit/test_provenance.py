"""What a record says of the machine."""

import platform
import subprocess

import pytest

from boxlab import provenance

ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"


@pytest.mark.parametrize(("listed", "name"), [("Cortex-A72", "Cortex-A72"), ("-", platform.machine())])
def test_a_processor_of_which_the_kernel_has_only_numbers_has_its_name_or_its_architecture(
    tmp_path, monkeypatch, listed, name
):
    lscpu = tmp_path / "lscpu"
    lscpu.write_text(f"#!/bin/sh\necho 'Model name:              {listed}'\n")
    lscpu.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for unnamed in ("", "unknown"):
        monkeypatch.setattr(platform, "processor", lambda unnamed=unnamed: unnamed)
        assert provenance._cpu(ARM) == name
    assert provenance._cpu("model name\t: AMD EPYC\n") == "AMD EPYC"


@pytest.mark.parametrize(
    ("cpuinfo", "virtual"),
    [("flags\t\t: fpu hypervisor\n", True), ("flags\t\t: fpu\nbugs: hypervisor\n", False), (ARM, None), ("", None)],
)
def test_a_hypervisor_is_told_only_where_the_kernel_says_it(cpuinfo, virtual):
    assert provenance._is_virtual(cpuinfo) is virtual


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"name": "Podman"}, "Podman 5.4.2, overlay, cgroup v2"),
        (
            {"shares_our_kernel": False, "kernel": "6.6-linuxkit"},
            "Docker Engine 5.4.2, in a machine of its own, kernel 6.6-linuxkit, overlay, cgroup v2",
        ),
        ({"security": ["name=rootless"]}, "Docker Engine 5.4.2, rootless, overlay, cgroup v2"),
    ],
)
def test_an_engine_is_called_what_it_is(engine, said):
    host = {"cpu": "Some CPU", "cpus": 1, "kernel": "6.1", "is_virtual": None}
    facts = {"version": "5.4.2", "storage_driver": "overlay", "cgroup_version": "2", "security": []}
    assert provenance.in_words({"host": host, "engine": facts | engine}) == f"Some CPU, 1 CPU, kernel 6.1; {said}"


def test_the_commit_is_this_checkouts_also_where_git_runs_us_for_another(tmp_path, monkeypatch):
    own = provenance.code()
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    assert provenance.code() == own

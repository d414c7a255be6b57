"""What a record says of the machine."""

import platform

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
    monkeypatch.setattr(platform, "processor", str)
    assert provenance._cpu(ARM) == name
    assert provenance._cpu("model name\t: AMD EPYC\n") == "AMD EPYC"

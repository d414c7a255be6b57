"""`boxlab readings`: what lab 07 predicts from."""

import json

import command
import pytest

from boxlab import sweep, waiting
from boxlab.errors import BoxlabError
from boxlab.labs import readings

MIB = 1 << 20


def test_readings_are_data_of_a_version_in_the_order_that_was_asked_for():
    found = json.loads(command.boxlab("readings", "2", "1", "--own", "8", "--shared", "16").stdout)
    assert (found["version"], found["own_mib"], found["shared_mib"]) == (readings.VERSION, 8, 16)
    two, one = found["readings"]
    assert (two["containers"], one["containers"]) == (2, 1) and len(two["docker_stats"]) == 2
    assert {process["role"] for process in two["processes"]} == {"application", "shim"}
    both, single = (sum(process["pss"] for process in reading["processes"]) for reading in (two, one))
    assert 8 * MIB <= both - single < (8 + 16) * MIB < single  # what is shared is there once, whoever else has a shim


def test_a_machine_that_is_too_full_is_refused_before_anything_starts():
    with pytest.raises(BoxlabError, match="MiB of memory are free, and .* are wanted"):
        readings.take([10**6], own_mib=1000, shared_mib=1)
    waiting.until(lambda: "container" not in {item.kind for item in sweep.of_run(sweep.marks.RUN)})

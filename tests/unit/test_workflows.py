"""What GitHub runs for us: whose code, by its digest, and with which permissions."""

import re

import pytest
import yaml

from boxlab import paths

FILES = sorted((paths.ROOT / ".github" / "workflows").glob("*.yml"))

MORE = {
    ("pages.yml", "publish"): {"pages": "write", "id-token": "write"},
    ("release.yml", "attach"): {"contents": "write"},
}
"""Which jobs may do more than read, and what."""


def jobs(path):
    return yaml.safe_load(path.read_text())["jobs"].items()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_digest_and_says_its_version(path):
    used = re.findall(r"\buses:.*", path.read_text())
    assert len(used) == sum("uses" in step for _, job in jobs(path) for step in job["steps"]) > 0
    for line in used:
        assert re.fullmatch(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_digest():
    used = {tuple(line.split("@")) for path in FILES for line in re.findall(r"\buses: (.*)", path.read_text())}
    assert used and len({name for name, _ in used}) == len(used)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_job_may_read_and_where_it_may_do_more_it_runs_nothing_from_the_checkout(path):
    assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    for name, job in jobs(path):
        assert job.get("permissions") == MORE.get((path.name, name)), name
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts), name
        assert not (checkouts and "permissions" in job), name


def test_all_machines_that_are_guests_are_tried_but_the_one_that_kvm_cannot_run():
    table = yaml.safe_load((paths.ROOT / "tests" / "machines" / "machines.yml").read_text())["machines"]
    guests = {name for name, row in table.items() if row.get("guest", True)}
    [job] = [job for path in FILES for name, job in jobs(path) if name == "machines"]
    assert {*job["strategy"]["matrix"]["name"]} == guests - {"arm64"}


def test_each_job_ends():
    assert all(job["timeout-minutes"] <= 60 for path in FILES for _, job in jobs(path))

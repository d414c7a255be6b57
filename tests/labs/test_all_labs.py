"""Every lab is proven, briefly: `make proofs` proves each whole."""

import docker.utils
import pytest

from boxlab import builder, engine
from boxlab.labs import lab, verify

NO_BUILDKIT = ("secrets of a build need BuildKit", "the builder of this engine lacks what the Dockerfile asks for")
"""What is said of an answer that only BuildKit builds, and one that is new enough."""

NEW_ENOUGH = "1.48"
"""The API of the first engine whose BuildKit builds every answer: 28."""


@pytest.mark.parametrize("name", [each.id for each in lab.every()])
def test_the_lab_is_proven(name):
    proof = verify.verify(lab.find(name), brief=True)
    blocked = proof.blocked
    old = docker.utils.version_lt(engine.connect().api.api_version, NEW_ENOUGH)
    if old or builder.chosen() in (builder.Way.CLASSIC, builder.Way.CALL):
        blocked = [line for line in blocked if not any(lack in line for lack in NO_BUILDKIT)]
    assert (proof.problems, blocked) == ([], [])

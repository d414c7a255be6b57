"""Every lab is proven: `boxlab verify`, as authors run it."""

import pytest

from boxlab.labs import lab, verify


@pytest.mark.parametrize("name", [each.id for each in lab.every()])
def test_the_lab_is_proven(name, request):
    """Where only what depends on the kind of engine is tried, with fewer answers: their judging does not."""
    proof = verify.verify(lab.find(name), few=request.config.option.markexpr == "engines")
    assert (proof.problems, proof.blocked) == ([], [])

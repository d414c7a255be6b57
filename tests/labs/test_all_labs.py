"""Every lab is proven: `boxlab verify`, as authors run it."""

import pytest

from boxlab.labs import lab, verify


@pytest.mark.parametrize("name", [each.id for each in lab.every()])
def test_the_lab_is_proven(name):
    proof = verify.verify(lab.find(name))
    assert (proof.problems, proof.blocked) == ([], [])

"""Every lab is proven: `boxlab verify`, as authors run it."""

import pytest

from boxlab.labs import lab, verify


def together(name: str):
    """Each lab by itself beside the other tests; what is measured in the seventh, with all that measures."""
    group = "measuring" if name.startswith("07-") else name
    return pytest.param(name, marks=pytest.mark.xdist_group(group))


@pytest.mark.parametrize("name", [together(each.id) for each in lab.every()])
def test_the_lab_is_proven(name):
    proof = verify.verify(lab.find(name))
    assert (proof.problems, proof.blocked) == ([], [])

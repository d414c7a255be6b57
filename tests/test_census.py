"""Runs last: what the tests and notebooks started is gone again."""

from census import census


def test_nothing_of_ours_is_left(census_before):
    assert census() - census_before == set()

"""What all tests share: the count of what there is before the first one, to be compared after the last."""

import os

import pytest
from census import census

BEFORE = pytest.StashKey[set[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the census to the end."""
    items.sort(key=lambda item: item.path.name == "test_census.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count before the first test, where the census is among the tests to run."""
    if any(item.path.name == "test_census.py" for item in session.items):
        session.config.stash[BEFORE] = census()


@pytest.fixture(scope="session")
def census_before(request: pytest.FixtureRequest) -> set[str]:
    """What there was before the first test."""
    return request.config.stash[BEFORE]


@pytest.fixture
def bound() -> list[str]:
    """What goes before a command so that permissions bind it as they bind a user who is not root."""
    drop = "-dac_override,-dac_read_search,-fowner"
    return [] if os.geteuid() else ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"]

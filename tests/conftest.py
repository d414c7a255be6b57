"""What all tests share: which of them need the engine, and the count of what there is before the first one."""

from pathlib import Path

import pytest
from census import census

TESTS = Path(__file__).parent
NEED_NO_ENGINE = (TESTS / "unit", TESTS / "book", TESTS / "browser")

BEFORE = pytest.StashKey[set[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an engine, and move the census to the end."""
    for item in items:
        if not any(folder in item.path.parents for folder in NEED_NO_ENGINE):
            item.add_marker("engine")
    items.sort(key=lambda item: item.path.name == "test_census.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count before the first test, where the census is among the tests to run."""
    if any(item.path.name == "test_census.py" for item in session.items):
        session.config.stash[BEFORE] = census()


@pytest.fixture(scope="session")
def census_before(request: pytest.FixtureRequest) -> set[str]:
    """What there was before the first test."""
    return request.config.stash[BEFORE]

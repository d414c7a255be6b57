"""What `make bench` times on the engine."""

import pytest
from promises import bare_start

from boxlab.errors import BoxlabError


def test_a_bare_start_is_timed():
    assert bare_start() > 0


def test_a_container_that_ends_before_it_is_ready_is_told_and_not_waited_for():
    with pytest.raises(BoxlabError, match="has ended before it was ready"):
        bare_start(command=["true"])

import pytest

from boxlab import turns


@pytest.fixture(autouse=True)
def own_turns(tmp_path_factory, monkeypatch):
    """Turns among these tests alone: what is only pretended need not wait for those who measure."""
    monkeypatch.setattr(turns, "PLACES", (str(tmp_path_factory.mktemp("turns")),))

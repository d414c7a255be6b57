import signal

import pytest

from boxlab.interrupts import deferred


@pytest.fixture(autouse=True)
def heard():
    """Whoever started the tests may have it ignored, as a shell's `&` does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_comes_after_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("created")
        done.append("never")
    assert done == ["created"]


def test_a_second_interrupt_gets_through_at_once():
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it was held back")


def test_a_block_within_another_holds_back_as_the_other_does():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        with deferred():
            signal.raise_signal(signal.SIGINT)
        done.append("known")
        signal.raise_signal(signal.SIGINT)
        done.append("never")
    assert done == ["known"]


def test_handlers_are_as_before():
    before = signal.getsignal(signal.SIGINT)
    with deferred():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_is_not_lost_where_the_block_raises():
    with pytest.raises(KeyboardInterrupt) as caught, deferred():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("not ready")
    assert isinstance(caught.value.__context__, ValueError)


def test_a_block_that_raises_without_an_interrupt_raises_just_that():
    with pytest.raises(ValueError, match="not ready"), deferred():
        raise ValueError("not ready")

"""Numbers as text."""

import pytest

from boxlab import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0213, "21.3 ms"),
        (0.2, "200 ms"),
        (2.551, "2.55 s"),
        (13.04, "13.0 s"),
        (0.000543, "543 µs"),
        (9.01e-8, "90.1 ns"),
    ],
)
def test_seconds_have_three_digits(value, text):
    assert formatting.seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.112, "0.11"), (1.0, "1"), (12.4, "12")])
def test_times_have_two_digits(value, text):
    assert formatting.times(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (512, "512 B"), (3.42 * 2**20, "3.42 MiB"), (2**30, "1.00 GiB"), (-2048, "-2.00 KiB")],
)
def test_sizes_have_three_digits_and_binary_units(value, text):
    assert formatting.size(value) == text

"""Numbers as text."""

import pytest

from boxlab import formatting, stats


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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.10"), (0.112, "0.11"), (0.79, "0.79"), (1.25, "1.2"), (2, "2.0"), (9.96, "10"), (12.4, "12")],
)
def test_times_have_two_digits(value, text):
    assert formatting.times(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8, "0.80"),
        (1.0, "1.00"),
        (1.034, "1.03"),
        (1.004, "1.004"),
        (0.9996, "0.9996"),
        (0.99996, "1.00"),
        (1.0001, "1.0001"),
        (1.0006, "1.001"),
        (0.995, "0.99"),
        (1.2, "1.20"),
    ],
)
def test_times_near_1_say_on_which_side_of_it_they_lie(value, text):
    assert formatting.times(value) == text


def test_each_number_of_an_interval_has_its_own_digits():
    assert formatting.with_interval(stats.Estimate(1.034, 1.0009, 1.4)) == "1.03 (1.001 – 1.4)"


def test_one_sample_has_no_interval():
    once = stats.median([1.5])
    assert (formatting.with_interval(once), formatting.interval(once, formatting.times)) == ("1.5", "–")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (512, "512 B"), (3.42 * 2**20, "3.42 MiB"), (2**30, "1.00 GiB"), (-2048, "-2.00 KiB")],
)
def test_sizes_have_three_digits_and_binary_units(value, text):
    assert formatting.size(value) == text

import numpy as np
import pytest

from boxlab import profiles, stats

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def same_draws_whatever_ran_before(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(7))


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """Enough to see what an interval does; the hundreds of them here would take seconds otherwise."""
    monkeypatch.setattr(stats, "RESAMPLES", 999)


def test_median_lies_in_its_interval():
    samples = RNG.lognormal(0, 0.2, 30)
    estimate = stats.median(samples)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.value == pytest.approx(np.median(samples))


def test_the_same_samples_give_the_same_interval():
    samples = RNG.lognormal(0, 0.2, 12)
    assert stats.median(samples) == stats.median(samples)


def test_interval_of_the_median_covers_the_truth_about_as_often_as_it_says_and_is_no_wider_than_it_must():
    estimates = [stats.median(RNG.lognormal(0, 0.2, 15)) for _ in range(80)]
    assert np.mean([e.low <= 1 <= e.high for e in estimates]) > 0.85
    assert np.mean([e.high - e.low for e in estimates]) < 0.35


def test_one_sample_has_no_interval():
    estimate = stats.median([2.0])
    assert estimate.value == 2.0
    assert np.isnan(estimate.low) and np.isnan(estimate.high)


def test_a_against_a_shows_no_difference():
    differ = [
        not e.low <= 1 <= e.high
        for e in (stats.ratio(RNG.lognormal(0, 0.1, 20), RNG.lognormal(0, 0.1, 20)) for _ in range(50))
    ]
    assert np.mean(differ) < 0.12


def test_a_slowdown_of_a_fifth_is_found():
    found = [stats.ratio(1.2 * RNG.lognormal(0, 0.05, 15), RNG.lognormal(0, 0.05, 15)).low > 1 for _ in range(25)]
    assert np.mean(found) > 0.95


def test_slow_rounds_for_both_do_not_widen_the_ratio():
    rounds = RNG.lognormal(0, 0.5, 20)
    paired = stats.ratio(2 * rounds, rounds)
    assert paired.high - paired.low < 1e-9
    assert paired.value == pytest.approx(2)


@pytest.mark.parametrize("data", [([], []), ([1.0], [1.0, 2.0])])
def test_ratio_refuses_what_cannot_be_paired(data):
    with pytest.raises(ValueError, match="as many on each"):
        stats.ratio(*data)


def test_instability_names_the_reason():
    assert stats.instability(np.full(10, 2.0)) == []
    assert any("standard deviation" in r for r in stats.instability([1, 1.5, 1, 1.6]))
    assert any("largest" in r for r in stats.instability([1.0] * 30 + [2.0]))
    assert stats.instability([1.0]) == ["fewer than two samples"]


def test_near_zero_what_is_an_outlier_is_told_by_the_others():
    """Differences of two measurements may be of any sign, and their mean next to nothing."""
    around = [-3e-9, -2e-9, -1e-9, 1e-9, 2e-9, 3e-9]
    assert [reason for reason in stats.instability(around) if "outlier" in reason] == []
    assert "the largest is an outlier" in stats.instability([*around, 9e-8])
    assert "the smallest is an outlier" in stats.instability([*around, -9e-8])
    assert any("deviation" in reason for reason in stats.instability([-1.0, -1.5, -1.0, -1.6]))
    assert stats.instability([0.0] * 6) == []


def test_a_page_more_or_less_is_no_outlier_though_all_others_are_alike():
    assert stats.instability([50 << 20] * 9 + [(50 << 20) + 4096]) == []


@pytest.mark.parametrize(("n", "is_range"), [(1, True), (5, True), (6, False)])
def test_too_few_samples_for_an_interval_are_a_range(n, is_range):
    """The range of five covers the median in 93.75 % at most."""
    samples = np.linspace(1, 2, n)
    assert stats.median(samples).is_range is is_range
    assert stats.ratio(samples, samples).is_range is is_range
    assert stats.independent_ratio(samples, np.ones(30)).is_range is is_range


def test_profiles_that_promise_an_interval_have_the_samples_for_one():
    assert min(profile.rounds for profile in profiles.ALL.values()) == stats.FEWEST
    assert min(profile.steady for profile in profiles.ALL.values() if profile.name != "quick") == stats.FEWEST


def test_a_line_finds_slope_and_intercept_and_leaves_the_rest():
    x = np.array([1, 2, 4, 8, 16])
    line = stats.line(x, 3 + 2 * x)
    assert (line.slope.value, line.intercept.value) == pytest.approx((2, 3))
    assert line.residuals == pytest.approx(np.zeros(5), abs=1e-9)
    assert line.at(10) == pytest.approx(23)


def test_the_interval_of_a_slope_covers_the_truth_about_as_often_as_it_says():
    x = np.array([1, 2, 4, 8])
    lines = [stats.line(x, 3 + 2 * x + RNG.normal(0, 0.5, 4)) for _ in range(300)]
    assert 0.9 < np.mean([line.slope.low <= 2 <= line.slope.high for line in lines]) <= 0.99


@pytest.mark.parametrize("x", [[1, 2], [3, 3, 3]])
def test_a_line_needs_three_points_at_two_places(x):
    with pytest.raises(ValueError, match="three points at two places"):
        stats.line(x, x)


def test_points_that_bend_have_no_straight_line():
    """As what instances share is not all there with the first of them."""
    x = np.repeat([1, 2, 3, 4, 6, 8], 2)
    noise = RNG.normal(0, 0.05, x.size)
    bent = stats.fitting_line(x, 9 + 5 * x - 2 / x + noise)
    assert bent.bend and bent.bend.low < -2 < bent.bend.high
    assert bent.slope.low < 5 < bent.slope.high
    assert bent.at([1, 2]) == pytest.approx([12, 18], abs=0.2)
    assert stats.fitting_line(x, 9 + 5 * x + noise).bend is None


@pytest.mark.parametrize("x", [[1, 2, 4, 8], [0, 1, 2, 4, 8], [1, 1, 1, 2, 2, 4]])
def test_too_few_places_show_no_bend(x):
    with pytest.raises(ValueError, match="four places above zero"):
        stats.bent_line(x, x)
    assert stats.fitting_line(x, 1 / (1 + np.asarray(x, float))).bend is None


def test_independent_samples_may_differ_in_number():
    ratio = stats.independent_ratio(RNG.normal(2, 0.1, 12), RNG.normal(1, 0.1, 30))
    assert ratio.low < 2 < ratio.high
    with pytest.raises(ValueError, match="every side"):
        stats.independent_ratio([], [1.0])

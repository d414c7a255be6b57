import itertools
import os
import re
import sys

import command
import drawn
import pretended_run as runs
import pytest

from boxlab import paths, plots, prose, records
from boxlab.plots import comparison, matrices, outcomes, resources, starts, style


@pytest.mark.parametrize("draw", [plots.startup, plots.phases])
def test_text_follows_the_page_and_the_alt_text_carries_the_numbers(draw):
    plot = draw(runs.run())
    assert "currentColor" in plot.svg and style.INK not in plot.svg
    assert "<text" in plot.svg
    assert re.search(r"container: .*\d ms.*microVM, emulated: .*\d m?s", plot.alt)
    assert 'role="img"' in plot._repr_html_()
    assert re.match(r'<svg [^>]*viewBox="', plot.svg) and "width=" not in plot.svg.split(">")[0]


@pytest.mark.parametrize("draw", [plots.startup, plots.phases])
def test_emulation_is_named_in_the_plot_itself(draw):
    assert "microVM, emulated" in draw(runs.run(emulated=True)).svg
    assert "emulated" not in draw(runs.run(emulated=False)).svg


def test_failures_stand_beside_the_median():
    run = runs.run()
    run.samples[-1].values, run.samples[-1].error = {}, "hung"
    assert "1 failed" in plots.startup(run).svg


def test_an_arm_that_never_became_ready_is_said_in_words():
    run = runs.run()
    for sample in run.samples:
        if sample.arm == "microvm":
            sample.values, sample.error = {}, "hung"
    plot = plots.startup(run)
    assert "never ready: 7 failed" in plot.svg
    assert "microVM, emulated: never ready" in plot.alt
    assert "microVM" not in plots.phases(run).alt


def test_a_run_in_which_nothing_became_ready_can_be_drawn():
    run = runs.run()
    for sample in run.samples:
        sample.values, sample.error = {}, "hung"
    assert "never ready" in plots.startup(run).svg


def test_phases_of_a_box_that_did_not_run_are_replaced_by_the_reason():
    plot = plots.phases(runs.run(), ("process",))
    assert plot.svg == "" and "not on this system" in plot.caption


@pytest.mark.parametrize("colour", sorted({*plots.COLOURS.values(), *plots.PARTS.values()}))
@pytest.mark.parametrize("page", ["#ffffff", "#121212"])
def test_colours_stand_out_on_light_and_dark_pages(colour, page):
    """Contrast of graphics as WCAG 2.1 (1.4.11) asks for it."""

    def luminance(code):
        channels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(colour), luminance(page)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 3


def test_a_phase_whose_end_was_not_seen_is_part_of_the_next():
    run = runs.run()
    for sample in run.samples:
        sample.marks.pop("app", None)
    plot = plots.phases(run, ("container",))
    assert "interpreter + imports" in plot.svg
    texts = prose.texts(run)
    assert texts["container_app"] == texts["container_ready_took"] == "not measured here"
    assert texts["container_ready"].endswith("ms")


@pytest.mark.parametrize("draw", [plots.density, plots.compare])
def test_lines_and_comparisons_carry_their_numbers_in_words(draw):
    plot = draw(runs.levels()) if draw is plots.density else draw(runs.levels(), runs.levels(factor=2))
    assert "MiB" in plot.alt and "emulated" in plot.svg


def test_density_tells_boxes_apart_and_draws_the_curve_that_is_reported():
    run = runs.levels(noise=0)
    straight = plots.density(run)
    assert "single one" not in straight.alt
    assert len(set(re.findall(r'<use xlink:href="#(m\w+)"', straight.svg))) > 2, "a marker each"
    for sample in run.samples[:]:
        if sample.arm == "container" and sample.level:
            sample.values["pss"] -= (4 << 20) / sample.level
            more = {**sample.values, "pss": sample.values["pss"] * 1.001}
            run.samples.append(records.Sample("container", 1, sample.position, False, sample.level, more))
    run.samples += [records.Sample("container", 0, 9, False, 3, {"pss": (13 + 21 - 4 / 3) * 2**20})]
    assert re.search(
        r"container: \d.* each .*, bent: [34]\.\d+ MiB less for a single one; microVM", plots.density(run).alt
    )


def test_parts_are_stacked_and_named():
    run = runs.levels()
    run.plan["metrics"] |= {part: {"unit": "B"} for part in ("application", "shim")}
    run.plan.pop("levels")
    for sample in run.samples:
        sample.level, sample.round = None, sample.position
        sample.values |= {"pss": 7 << 20, "application": 4 << 20, "shim": 3 << 20}
    plot = plots.memory(run)
    assert "application 4.00 MiB, shim 3.00 MiB" in plot.alt and "7.00 MiB" in plot.svg


@pytest.fixture
def figures(monkeypatch):
    """Draws a plot and returns its figures: that of a page and that of a phone."""
    made = []

    def finish(draw, _alt, _caption, _salt, font_size=10):
        for page in (style.WIDE, style.NARROW):
            with style.drawing(draw, page, font_size) as figure:
                figure.draw_without_rendering()
                made.append(figure)

    for module in (starts, resources, comparison):
        monkeypatch.setattr(module, "finish", finish)

    def figures(draw, *arguments):
        draw(*arguments)
        return made[-2:]

    return figures


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


def words(figure):
    """All that is written in a figure, with its place in it."""
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.title, axes._left_title]
        found += [label for axis in (axes.xaxis, axes.yaxis) for label in ticks(axis)]
    return [(text.get_text(), text.get_window_extent()) for text in found if text.get_text() and text.get_visible()]


RUNS = [path for path in sorted(paths.RESULTS.glob("*.json")) if not path.stem.endswith(".local")]


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_on_a_page_and_on_a_phone_no_word_is_cut_or_lies_over_another(path, figures):
    check_words(records.load(path), figures)


def test_where_the_kernel_reports_no_events_no_word_is_cut_either(figures):
    run = records.load(paths.RESULTS / "05-by-hand.json")
    for sample in run.samples:
        for mark in sample.marks.keys() - {"spawned", "created", "attached", "started", "app", "ready"}:
            del sample.marks[mark]
    check_words(run, figures)


def check_words(run, figures):
    for draw in drawn.BY_EXPERIMENT.get(run.experiment, []):
        for figure in figures(draw, run):
            written = words(figure)
            assert len(written) > 5
            for word, place in written:
                assert (
                    place.x0 > -1 and place.x1 < figure.bbox.x1 + 1 and place.y0 > -1 and place.y1 < figure.bbox.y1 + 1
                ), word
            over = [
                (a, b)
                for (a, here), (b, there) in itertools.combinations(written, 2)
                if here.padded(-1).overlaps(there.padded(-1))
            ]
            assert not over


def test_rows_are_named_above_themselves_on_a_phone_and_panels_stand_below_each_other(figures):
    wide, narrow = figures(plots.startup, runs.run())
    assert narrow.bbox_inches.width < 0.6 * wide.bbox_inches.width
    assert [label.get_text() for label in ticks(narrow.axes[0].yaxis)] == []
    assert {"container", "microVM, emulated"} <= {text.get_text() for text in narrow.axes[0].texts}
    wide, narrow = figures(plots.density, runs.levels())
    assert (
        len({round(axes.get_position().x0, 2) for axes in narrow.axes})
        == 1
        < len({axes.get_position().x0 for axes in wide.axes})
    )


@pytest.mark.parametrize(("rounds", "drawn"), [(5, 0), (6, 1)])
def test_a_bar_is_an_interval_and_no_range_is_drawn_as_one(rounds, drawn, figures):
    run = runs.run(rounds=rounds)
    for figure in (*figures(plots.startup, run), *figures(plots.compare, run, run)):
        [axes] = figure.axes
        bars = [line for line in axes.lines if len(set(line.get_ydata())) == 1]
        assert len(bars) == drawn * len(axes.get_yticks())


def test_a_phone_gets_the_narrow_drawing_and_whatever_has_no_style_sheet_the_wide_one_alone():
    plot = plots.startup(runs.run())
    assert plot.narrow != plot.svg and "<text" in plot.narrow
    shown = plot._repr_html_()
    assert shown.count("<svg ") == 2 and shown.count('<svg style="display: none" ') == 1
    assert shown.index("display: none") > shown.index("</svg>")


@pytest.mark.parametrize("spread", [1, 100], ids=["alike", "far apart"])
def test_axes_of_walls_have_three_ticks_and_no_label_over_another(spread, figures):
    run = runs.run()
    units = {"seconds": "s", "pss": "B", "getppid": "s", "stat": "s"}
    run.plan["metrics"] = {metric: {"unit": unit} for metric, unit in units.items()}
    for sample in run.samples:
        factor = spread if sample.arm == "microvm" else 1
        sample.values = {"seconds": 0.3, "pss": 15 << 20, "getppid": 3e-7, "stat": 2.5e-6}
        sample.values = {metric: value * factor for metric, value in sample.values.items()}
    for figure in figures(plots.isolation, run):
        labels = [ticks(axes.xaxis) for axes in figure.axes]
        assert all(len(of_axis) >= 3 for of_axis in labels)
        places = [label.get_window_extent() for of_axis in labels for label in of_axis]
        assert not [(a, b) for a, b in itertools.combinations(places, 2) if a.overlaps(b)]


def test_a_stop_that_ends_now_this_way_and_now_that_is_said():
    run = records.load(paths.RESULTS / "12-stop.json")
    assert outcomes.end(run, "handler") == "work saved" and outcomes.end(run, "exec") == "killed"
    next(sample for sample in run.samples if sample.arm == "handler" and not sample.discarded).values["saved"] = 0.0
    assert outcomes.end(run, "handler") == "not each time the same"
    assert "not each time the same" in plots.stop(run).alt


def test_what_an_image_mends_is_said_in_words():
    run = records.load(paths.RESULTS / "01-elsewhere.json")
    assert "time zone: in the same image;" in plots.elsewhere(run).alt and "data: nothing" in plots.elsewhere(run).alt
    next(sample for sample in run.samples if sample.arm == "time-zone").values["inside"] = 0.0
    plot = plots.elsewhere(run)
    assert "time zone: nothing;" in plot.alt and f">{1 - 1 / len(run.kept('time-zone')):.0%}<" in plot.svg.replace(
        "\n", ""
    )


def test_a_rung_that_was_never_built_again_is_drawn_with_its_size():
    run = records.load(paths.RESULTS / "08-dockerfile.json")
    for sample in run.samples:
        if sample.values.pop("rebuild", None):
            sample.error = "repeated"
    plot = plots.dockerfile(run)
    assert "never ready" in plot.svg and re.search(r"1 as written: \S+ MiB;", plot.alt)


def test_what_is_not_alive_each_time_has_its_share():
    run = records.load(paths.RESULTS / "10-kill.json")
    assert matrices.part(run, "proxy", "address") == 1 and matrices.part(run, "proxy", "localhost") == 0
    one, *_others = (sample for sample in run.samples if sample.arm == "proxy")
    one.values["address"] = 0.0
    share = 1 - 1 / len(run.kept("proxy"))
    assert matrices.part(run, "proxy", "address") == pytest.approx(share)
    plot = plots.kill(run)
    assert f">{share:.0%}<" in plot.svg.replace("\n", "")
    assert "docker-proxy: program, logs, docker run" in plot.alt
    for sample in run.samples:
        sample.values.clear()
    assert matrices.part(run, "proxy", "address") is None and ">–<" in plots.kill(run).svg


def test_nothing_is_written_into_the_readers_home_and_one_that_is_read_only_is_not_complained_of():
    """As a notebook's kernel has it, which loads the extension first."""
    script = "from boxlab import transcript, plots; import matplotlib; print(matplotlib.get_configdir(), matplotlib.get_cachedir())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG_"))}
    ran = command.run(sys.executable, "-c", script, env=environment | {"HOME": "/proc/read-only"})
    assert (ran.stdout.split(), ran.stderr) == ([str(paths.CACHE / "matplotlib")] * 2, "")
    ran = command.run(sys.executable, "-c", script, env=environment | {"MPLCONFIGDIR": str(paths.CACHE)})
    assert ran.stdout.split() == [str(paths.CACHE)] * 2

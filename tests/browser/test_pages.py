"""The rendered book in a real browser, with the network cut."""

import json
import os
import re
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import command
import pytest

from boxlab import paths
from boxlab.waiting import HANG_S

HTML = paths.ROOT / "_build" / "test" / "html"
WEIGHT = 1_500_000
BLOCKING = 140_000
"""Bytes that a page may wait for before it is painted: with the page's own, under two seconds on a slow phone."""

LETTERS = 9
"""Pixels of the smallest letters of a plot."""

VIEWS = ("desktop", "phone")
SCHEMES = ("light", "dark")
PLOTS = {
    "01-machine": 1,
    "03-promises": 1,
    "05-by-hand": 2,
    "06-startup": 5,
    "07-memory": 2,
    "08-size": 2,
    "09-limits": 1,
    "10-engine": 1,
    "11-dockerfile": 2,
    "12-lifecycle": 1,
    "13-data": 2,
    "14-registry": 1,
    "15-compose": 1,
}
"""How many plots each chapter shows."""


@pytest.fixture(scope="module")
def visit():
    visitor = [sys.executable, Path(__file__).with_name("visit.py"), HTML]
    if sys.platform == "linux":  # elsewhere the browser's own rules alone cut the network
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = 'ip link set lo up && exec "$@"'
        visitor = ["unshare", *as_root, "--net", "sh", "-c", script, "sh", *visitor]
    browsed = command.run(*visitor, timeout=6 * HANG_S)  # hundreds of visits
    assert browsed.returncode == 0, browsed.stderr[-2000:]
    return json.loads(browsed.stdout)


@pytest.fixture(scope="module")
def pages(visit):
    found = visit["pages"]
    assert {"desktop book/index.html", "phone notebooks/06-startup.html", "desktop search.html"} <= found.keys()
    return found


def test_every_page_loads_without_an_error(pages):
    for name, page in pages.items():
        assert page["status"] == 200, name
        assert page["title"].endswith("Containers, Measured"), name
        assert page["complaints"] == [], name


def test_no_page_asks_another_host(visit, pages):
    for name, page in pages.items():
        assert page["asked"], name
        assert [url for url in page["asked"] if not url.startswith((visit["base"], "data:", "blob:"))] == [], name


def test_axe_finds_nothing_that_keeps_a_reader_out(pages):
    found = {
        f"{name}, {scheme}": page[scheme]["violations"]
        for name, page in pages.items()
        for scheme in SCHEMES
        if "violations" in page[scheme]
    }
    assert len(found) == 3 / 2 * len(pages)  # a desktop's twice, a phone's once
    assert {name: violations for name, violations in found.items() if violations} == {}


def test_axe_finds_a_color_that_cannot_be_read_once(visit):
    pale, dark = visit["pale"]
    assert ">two<" in pale and ">three<" in dark


def test_nothing_is_wider_than_the_screen(pages):
    assert {name: page["overflow"] for name, page in pages.items() if page["overflow"] > 0} == {}


def test_pages_are_light(pages):
    # Results quote pages, and what they read for that is not theirs.
    own = {name: page["weight"] for name, page in pages.items() if "?" not in name}
    assert {name: weight for name, weight in own.items() if not 0 < weight < WEIGHT} == {}


def test_pages_are_painted_when_one_style_sheet_has_come(pages):
    """And a small one more where a page needs it."""
    for name, page in pages.items():
        sheets = [sheet.partition("?")[0] for sheet, _ in page["blocking"]]
        whole = [sheet.endswith("_static/styles/all.css") for sheet in sheets]
        assert sum(whole) == 1 and len(sheets) <= 2, (name, sheets)  # asked for at once, either may come first
        assert all(sheet.endswith(".css") for sheet in sheets), (name, sheets)
        assert sum(size for _, size in page["blocking"]) < BLOCKING, name
    assert any(
        size for page in pages.values() for _, size in page["blocking"]
    )  # kept by the browser, it weighs nothing


def test_plots_are_read_on_a_phone_without_scrolling(pages):
    count = 0
    for name, page in pages.items():
        for width, plots in page.get("fit", {}).items():
            for plot in plots:
                count += 1
                assert plot["letters"] >= LETTERS, (name, width)
                assert plot["hidden"] <= 0 and plot["others"] == 0, (name, width)
    assert count > 60


def test_the_book_is_read_in_its_order(visit, pages):
    order = visit["order"]
    assert order[0].endswith("/book/index.html") and len(order) == len(set(order)) > 2
    for here, there in pairwise(order):
        assert pages[f"desktop {here.removeprefix(visit['base'] + '/')}"]["next"] == there
        assert pages[f"desktop {there.removeprefix(visit['base'] + '/')}"]["previous"] == here


def test_the_logo_is_seen_beside_every_page(pages):
    assert {name for name, page in pages.items() if name.startswith("desktop") and page["logos"] != 1} == set()


def test_search_finds(pages):
    for view in VIEWS:
        assert pages[f"{view} search.html?q=container"]["hits"] > 0


def test_search_finds_sections_by_whole_words_first(visit):
    found = visit["search"]
    first = {query: result["hits"][0] for query, result in found.items() if result["hits"]}
    for query in ("OOM", "limit memory", "from a disk"):
        address, title = first[query]
        assert address.startswith("book/09-limits.html#") and title.startswith("9. Limits and isolation"), query
        assert " › " in title
    assert "cgroup" in found["cgroups"]["text"]
    assert "sudo " in found["sudo"]["text"]
    assert all(result["seen"] for result in found.values() if "seen" in result)
    assert found["zzyzxq"]["hits"] == []


@pytest.mark.parametrize(("chapter", "count"), PLOTS.items())
def test_a_chapter_shows_its_plots_with_words_for_those_who_do_not_see(pages, chapter, count):
    for view in VIEWS:
        plots = pages[f"{view} book/{chapter}.html"]["light"]["plots"]
        assert len(plots) == count
        for plot in plots:
            assert len(plot["alt"]) > 60 and any(character.isdigit() for character in plot["alt"])
            assert plot["width"] > 300


def test_plots_have_the_pages_text_colour_and_no_background_of_their_own(pages):
    colours = set()
    for name, page in pages.items():
        for scheme in SCHEMES:
            for plot in page[scheme]["plots"]:
                assert plot["text"] == plot["page"], name
                assert plot["background"] == "rgba(0, 0, 0, 0)", name
                colours.add((scheme, plot["text"]))
    assert len(colours) == len({colour for _, colour in colours}) == len(SCHEMES)


@pytest.mark.parametrize("chapter", PLOTS)
def test_numbers_in_a_chapter_are_glued(pages, chapter):
    assert pages[f"desktop book/{chapter}.html"]["glued"] > 10


def test_images_load_and_have_alt_texts(pages):
    images = [image for page in pages.values() for image in page["images"]]
    assert images
    for image in images:
        assert image["loaded"] and image["alt"], image


def test_whatever_the_tabulator_reaches_is_seen_to_have_the_focus(visit):
    for name, stops in visit["keyboard"]["stops"].items():
        assert len(stops) > 10, name
        assert [stop["what"] for stop in stops if not stop["seen"]] == [], name


def test_the_keyboard_skips_to_the_article_and_opens_what_is_closed(visit):
    keyboard = visit["keyboard"]
    assert "#main-content" in keyboard["skip"]["what"] and keyboard["skip"]["seen"]
    assert keyboard["skipped"]["article"]
    assert keyboard["found"] > 0


@pytest.mark.parametrize("menu", ["primary", "secondary"])
def test_a_phones_menus_open_and_close_by_keyboard(visit, menu):
    opened = visit["keyboard"]["menus"][menu]
    assert opened["links"] > 3
    assert opened["violations"] == []


def test_a_guess_is_kept_and_marked_in_the_answer(visit):
    """By keyboard alone, on a narrow screen."""
    seen = visit["practised"]
    empty = seen["empty"]
    assert len(empty["labels"]) == 4 and all(empty["labels"])
    assert empty["answers"] == ["no guess yet"] * 4 and empty["dots"] == [0] * 4
    wrong = seen["wrong"]
    assert wrong["invalid"] == [False, True, False, False] and wrong["status"].startswith(
        "Not there yet: write a number with its unit, such as 50 ms"
    )
    guessed = seen["guessed"]
    assert guessed["values"] == ["40 ms", "", "3,5 s", ""] and not any(guessed["invalid"])
    assert guessed["status"].startswith("Kept in this browser")
    assert guessed["answers"][0].startswith("40 ms: ") and guessed["answers"][2].startswith("3,5 s: ")
    assert guessed["dots"] == [2, 0, 2, 0]
    assert seen["again"]["values"] == guessed["values"] and seen["again"]["answers"] == guessed["answers"]
    assert seen["overflow"] <= 0 and seen["violations"] == []


def test_a_choice_is_judged_at_once(visit):
    first, second = visit["practised"]["first"], visit["practised"]["second"]
    for chosen, verdict in ((first, "No."), (second, "Right.")):
        assert len(chosen["shown"]) == 1 and chosen["shown"][0].startswith(verdict)
        assert squeezed(chosen["heard"]) == squeezed(chosen["shown"][0])


def test_without_a_script_question_and_answer_stand_one_after_the_other(visit):
    bare = visit["practised"]["bare"]
    assert bare["fields"] == 0 and bare["hidden"] == [] and bare["explanations"] >= 4


def test_only_commands_have_a_button_that_copies(pages):
    for name, page in pages.items():
        assert page["copied_outputs"] == [], name
    assert pages["desktop book/06-startup.html"]["copied"] > 10


def test_on_paper_stands_the_article_with_all_its_answers(visit):
    for name, printed in visit["printed"].items():
        text = squeezed("".join(printed["sheets"]))
        assert squeezed("Stored results") in text or squeezed("Measured on this machine") in text, name
        for answer in printed["answers"]:
            assert squeezed(answer) in text, name
        for of_the_screen in ("Back matter", "Previous", "Contents", "Ctrl"):
            assert squeezed(of_the_screen) not in text, name
    assert visit["printed"]["book/06-startup.html"]["answers"]


def test_on_paper_no_plot_is_cut(visit, pages):
    for name, printed in visit["printed"].items():
        sheets = [squeezed(sheet) for sheet in printed["sheets"]]
        plots = pages[f"desktop {name}"]["light"]["plots"]
        assert plots, name
        for plot in plots:
            words = [squeezed(word) for word in plot["words"]]
            assert any(all(word in sheet for word in words) for sheet in sheets), (name, plot["alt"])


def test_a_dark_page_is_printed_dark_on_light(visit):
    for name, printed in visit["printed"].items():
        assert max(printed["dark"]) < 64 and printed["after"] == printed["dark"], name
        assert printed["dark"] not in printed["filled"] and printed["ground"] == [255, 255, 255], name
        for colour in printed["colours"]:
            assert contrast_on_white([int(part) for part in re.findall(r"[0-9]+", colour)[:3]]) >= 3, (name, colour)


def contrast_on_white(colour: list[int]) -> float:
    """By WCAG's formula."""
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def squeezed(text: str) -> str:
    """Text without white space and ligatures, which a printed page has elsewhere."""
    return "".join(unicodedata.normalize("NFKC", text).split())

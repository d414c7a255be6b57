"""The rendered book in a real browser, with the network cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boxlab import paths

HTML = paths.ROOT / "_build" / "html"
WEIGHT = 3_000_000
PLOTS = {"06-startup": 4, "07-memory": 2, "08-size": 2, "09-limits": 1}
"""How many plots each chapter shows."""


@pytest.fixture(scope="module")
def visit():
    command = [sys.executable, Path(__file__).with_name("visit.py"), HTML]
    if sys.platform == "linux":  # elsewhere the browser's own rules alone cut the network
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = 'ip link set lo up && exec "$@"'
        command = ["unshare", *as_root, "--net", "sh", "-c", script, "sh", *command]
    browsed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert browsed.returncode == 0, browsed.stderr[-2000:]
    return json.loads(browsed.stdout)


@pytest.fixture(scope="module")
def pages(visit):
    found = {name: page for name, page in visit["pages"].items() if name != "search"}
    assert {"desktop book/index.html", "dark book/06-startup.html", "phone notebooks/06-startup.html"} <= found.keys()
    return found


def test_every_page_loads_without_an_error(pages):
    for name, page in pages.items():
        assert page["status"] == 200 and page["title"], name
        assert page["complaints"] == [], name


def test_no_page_asks_another_host(visit, pages):
    for name, page in pages.items():
        assert page["asked"], name
        assert [url for url in page["asked"] if not url.startswith((visit["base"], "data:", "blob:"))] == [], name


def test_nothing_is_wider_than_the_screen(pages):
    assert {name: page["overflow"] for name, page in pages.items() if page["overflow"] > 0} == {}


@pytest.mark.parametrize(("chapter", "count"), PLOTS.items())
def test_a_chapter_shows_its_plots_with_words_for_those_who_do_not_see(pages, chapter, count):
    for view in ("desktop", "dark", "phone"):
        plots = pages[f"{view} book/{chapter}.html"]["plots"]
        assert len(plots) == count
        for plot in plots:
            assert len(plot["alt"]) > 60 and any(character.isdigit() for character in plot["alt"])
            assert plot["width"] > 300


def test_plots_have_the_pages_text_colour_and_no_background_of_their_own(pages):
    checked = 0
    for name, page in pages.items():
        for plot in page["plots"]:
            assert plot["text"] == plot["page"], name
            assert plot["background"] == "rgba(0, 0, 0, 0)", name
            checked += 1
    assert checked


@pytest.mark.parametrize("chapter", PLOTS)
def test_numbers_in_a_chapter_are_glued(pages, chapter):
    assert pages[f"desktop book/{chapter}.html"]["glued"] > 10


def test_images_load_and_have_alt_texts(pages):
    images = [image for page in pages.values() for image in page["images"]]
    assert images
    for image in images:
        assert image["loaded"] and image["alt"], image


def test_pages_are_light(pages):
    assert {name: page["weight"] for name, page in pages.items() if page["weight"] > WEIGHT} == {}


def test_search_finds(visit):
    assert visit["pages"]["search"]["hits"] > 0

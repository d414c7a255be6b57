"""Open every page of the rendered book in headless Chromium and print what was seen, as JSON.

Run by test_pages.py in a network namespace that has only a loopback device: what is asked of another host fails, and is
seen to have been asked.
"""

import functools
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
VIEWS = {"desktop": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (390, 800, "light")}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def look(page: Page, url: str) -> dict:
    """Load one page and say what there is to see."""
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    response = page.goto(url, wait_until="load")
    return {
        "status": response.status,
        "title": page.title(),
        "asked": asked,
        "complaints": complaints,
        "overflow": page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        "plots": page.evaluate(
            """[...document.querySelectorAll('.boxlab-plot')].map(figure => ({
                alt: figure.querySelector('[role=img]').getAttribute('aria-label'),
                width: figure.getBoundingClientRect().width,
                text: getComputedStyle(figure.querySelector('svg text')).fill,
                page: getComputedStyle(document.body).color,
                background: getComputedStyle(figure.closest('.text_html') ?? figure).backgroundColor,
            }))"""
        ),
        "images": page.evaluate(
            "[...document.images].map(i => ({src: i.src, alt: i.alt, loaded: i.naturalWidth > 0}))"
        ),
        "glued": page.locator(".pasted-text").count(),
        "weight": page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, e) => sum + e.encodedBodySize, 0)"
        ),
    }


def main(folder: Path) -> None:
    """Visit all pages below `folder` in all views."""
    if not CHROMIUM:
        sys.exit("no Chromium: `make test` installs it, or `apt-get install chromium`")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    pages = sorted(
        str(path.relative_to(folder)) for name in ("book", "notebooks") for path in (folder / name).rglob("*.html")
    )
    seen = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for view, (width, height, scheme) in VIEWS.items():
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            for name in pages:
                page = context.new_page()
                seen[f"{view} {name}"] = look(page, f"{base}/{name}")
                page.close()
            context.close()
        page = browser.new_page()
        page.goto(f"{base}/search.html?q=container")
        page.wait_for_selector("#search-results li")
        seen["search"] = {"hits": page.locator("#search-results li").count()}
        browser.close()
    json.dump({"base": base, "pages": seen}, sys.stdout)


main(Path(sys.argv[1]))

"""Open every page of the rendered book in headless Chromium and print what was seen, as JSON.

Run by test_pages.py in a network namespace that has only a loopback device: what is asked of another host fails, and is
seen to have been asked.
"""

import asyncio
import functools
import http.server
import io
import json
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, async_playwright
from pypdf import PdfReader

from boxlab.waiting import HANG_S

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
VIEWS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 800}}
NARROW = {"width": 320, "height": 640}
PHONES = (390, 360, 320)
SCHEMES = ("light", "dark")
COLORS, OTHERS = {"runOnly": ["color-contrast"]}, {"rules": {"color-contrast": {"enabled": False}}}
AUDITED = {"desktop": {"light": [COLORS, OTHERS], "dark": [COLORS]}, "phone": {"dark": [OTHERS]}}
"""What axe is told in each view and scheme: colors are the same in both views, and what stands where in both schemes."""
CHAPTER, NOTEBOOK = "book/06-startup.html", "notebooks/06-startup.html"
SEARCH, RESULTS = "search.html", "search.html?q=container"
SOUGHT = ("OOM", "limit memory", "sudo", "cgroups", "zzyzxq")

ORDER = "[...document.querySelectorAll('.bd-docs-nav a')].map(link => link.href)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FACTS = """() => ({
    title: document.title,
    logos: [...document.querySelectorAll('.logo img')].filter(logo => logo.checkVisibility()).length,
    previous: document.querySelector('a.left-prev')?.href,
    next: document.querySelector('a.right-next')?.href,
    images: [...document.images].map(i => ({src: i.src, alt: i.alt, loaded: i.naturalWidth > 0})),
    glued: document.querySelectorAll('.pasted-text').length,
    copied: document.querySelectorAll('button.copybtn').length,
    copied_outputs: [...document.querySelectorAll('.output button.copybtn')].map(b => b.parentElement.innerText.slice(0, 80)),
    hits: document.querySelectorAll('#search-results li').length,
    blocking: performance.getEntriesByType('resource').filter(entry => entry.renderBlockingStatus === 'blocking')
        .map(entry => [entry.name, entry.encodedBodySize]),
    weight: [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
})"""
PLOTS = """() => [...document.querySelectorAll('.boxlab-plot')].map(figure => ({
    alt: figure.querySelector('[role=img]').getAttribute('aria-label'),
    words: [...figure.querySelectorAll('svg')].filter(svg => svg.checkVisibility())
        .flatMap(svg => [...svg.querySelectorAll('text')].map(text => text.textContent)),
    width: figure.getBoundingClientRect().width,
    text: getComputedStyle(figure.querySelector('svg text')).fill,
    page: getComputedStyle(document.body).color,
    background: getComputedStyle(figure.closest('.text_html') ?? figure).backgroundColor,
}))"""
FIT = """() => [...document.querySelectorAll('.boxlab-plot [role=img]')].map(plot => {
    const box = plot.parentElement;
    const [svg, ...others] = [...plot.querySelectorAll('svg')].filter(svg => svg.checkVisibility());
    const sizes = [...svg.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize));
    return {
        letters: Math.min(...sizes) * svg.getScreenCTM().a,
        hidden: box.scrollWidth - box.clientWidth,
        others: others.length,
    };
})"""
SETTLED = """() => [...document.querySelectorAll('.pst-scrollable-table-container')].every(
    box => box.scrollWidth > box.clientWidth ? box.tabIndex === 0 : true)"""
HITS = (
    "[...document.querySelectorAll('#search-results li a')].map(link => [link.getAttribute('href'), link.textContent])"
)
SHOWN = """() => {
    const section = document.querySelector(decodeURIComponent(location.hash));
    const {top} = section.getBoundingClientRect();
    return {text: section.textContent, seen: top >= 0 && top < innerHeight};
}"""
GROUND = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
VIOLATIONS = """rules => axe.run(
    rules.runOnly ? {include: '.first-of-its-look'} : document, {preload: false, resultTypes: ['violations'], ...rules},
).then(({violations}) => violations.flatMap(({id, nodes}) =>
    nodes.map(node => `${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`)))"""
FIRST = """() => {
    const looks = new Set();
    const ground = element => {
        const {backgroundColor, opacity} = getComputedStyle(element);
        return `${backgroundColor} ${opacity} ${element.parentElement ? ground(element.parentElement) : ''}`;
    };
    for (const element of document.querySelectorAll('body, body *')) {
        const words = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!words && !element.matches('input')) continue;
        if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
        const {color, fontSize, fontWeight} = getComputedStyle(element);
        const look = `${element.matches('input')} ${color} ${fontSize} ${fontWeight} ${ground(element)}`;
        element.classList.toggle('first-of-its-look', !looks.has(look));
        looks.add(look);
    }
}"""
"""Of thousands of words that look alike, axe need see the colors of the first: each takes it milliseconds."""
PALE = """<main><pre>
    <span style="color: #000">def</span> <span style="color: #000">one</span> <span style="color: #ccc">two</span>
    <span style="background: #222"><span style="color: #000">three</span></span> <span style="color: #ccc">four</span>
</pre></main>"""
"""Two colors that cannot be read: pale on white, and black on dark."""
FOCUS = """async () => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    const focused = document.activeElement;
    const shown = [focused, ...(focused.labels ?? []), focused.form, focused.firstElementChild].filter(Boolean);
    const onTop = element => {
        const box = element.getClientRects()[0];
        const top = box && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return element.contains(top) && element.checkVisibility({opacityProperty: true, visibilityProperty: true});
    };
    const ringed = element => {
        const style = getComputedStyle(element);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== 'none';
    };
    return {
        what: focused.outerHTML.slice(0, 150),
        seen: shown.some(element => onTop(element) && ringed(element)),
        article: Boolean(focused.closest('main')),
        end: focused === document.body,
    };
}"""
GUESSES = """() => ({
    labels: [...document.querySelectorAll('.guess input')].map(field => field.labels[0]?.innerText.trim()),
    values: [...document.querySelectorAll('.guess input')].map(field => field.value),
    invalid: [...document.querySelectorAll('.guess input')].map(field => field.ariaInvalid === 'true'),
    status: document.querySelector('.guess [role=status]').innerText,
    answers: [...document.querySelectorAll('.answer tbody tr td:last-child')].map(cell => cell.innerText.trim()),
    dots: [...document.querySelectorAll('.answer tbody tr')].map(row => row.querySelectorAll('.strip i').length),
})"""
CHOSEN = """() => {
    const choice = document.querySelector('.choice');
    return {
        shown: [...choice.querySelectorAll('.explanation')].filter(node => node.checkVisibility()).map(node => node.innerText.trim()),
        heard: choice.querySelector('[role=status]').textContent.trim(),
    };
}"""
COLOURS = """async () => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    const words = document.querySelectorAll('article :is(p, li, td, a, code, span, svg text)');
    const own = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true})
        && [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    return [...new Set([...words].filter(own).map(element => getComputedStyle(element).color))];
}"""
DROPDOWN = "details.sd-dropdown"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser that goes on hangs up on what it had asked for
            super().handle_error(request, client_address)


async def look(page: Page, url: str, audits: Mapping[str, list[dict]]) -> dict:
    """Load one page and say what there is to see, light and dark, and what violates rules in the schemes named."""
    asked, complaints = [], []
    page.on("request", note := lambda request: asked.append(request.url))
    page.on("pageerror", complain := lambda error: complaints.append(str(error)))
    page.on("console", hear := lambda said: complaints.append(said.text) if said.type == "error" else None)
    response = await page.goto(url, wait_until="load")
    if url.endswith(RESULTS):
        await page.wait_for_selector("#search-results li")
    found = {"status": response.status, "asked": asked, "complaints": complaints} | await page.evaluate(FACTS)
    found["overflow"] = await page.evaluate(OVERFLOW)
    await page.evaluate(AXE_SCRIPT)
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        await page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        await page.evaluate(
            "Promise.all(document.getAnimations().map(fading => fading.finished))"
        )  # from one to the other
        found[scheme] = {"plots": await page.evaluate(PLOTS)}
        if scheme in audits:
            found[scheme]["violations"] = await violations(page, audits[scheme])
    page.remove_listener("request", note)
    page.remove_listener("pageerror", complain)
    page.remove_listener("console", hear)
    return found


async def violations(page: Page, audits: list[dict]) -> list[str]:
    """What violates rules on a page that has axe."""
    await page.evaluate(FIRST)
    return [violation for rules in audits for violation in await page.evaluate(VIOLATIONS, rules)]


async def read_pale(browser: Browser) -> list[str]:
    """What violates rules of colors on a page that violates them."""
    page = await open_page(browser)
    await page.set_content(PALE)
    await page.evaluate(AXE_SCRIPT)
    found = await violations(page, [COLORS])
    await page.context.close()
    return found


async def open_page(browser: Browser, **options: Any) -> Page:
    """A page in a context of its own, on which nothing fails because it takes long."""
    context = await browser.new_context(**options)
    context.set_default_timeout(HANG_S * 1000)
    return await context.new_page()


async def walk(browser: Browser, view: str, urls: list[str]) -> dict[str, dict]:
    """What there is to see on each page in one view."""
    page = await open_page(browser, viewport=VIEWS[view], color_scheme=SCHEMES[0], reduced_motion="reduce")
    seen = {}
    for url in urls:
        seen[url] = await look(page, url, AUDITED[view])
        if view == "phone":
            seen[url]["fit"] = {}
            for width in PHONES:
                await page.set_viewport_size(NARROW | {"width": width})
                await page.wait_for_function(SETTLED)
                seen[url]["fit"][width] = await page.evaluate(FIT)
            seen[url]["overflow"] = max(seen[url]["overflow"], await page.evaluate(OVERFLOW))
            await page.set_viewport_size(VIEWS[view])
    await page.context.close()
    return seen


async def press_tab(page: Page) -> dict:
    """Press the tabulator, and say what has the focus."""
    await page.keyboard.press("Tab")
    return await page.evaluate(FOCUS)


async def use_keyboard(browser: Browser, base: str) -> dict:
    """Use the book as somebody does who has no mouse."""
    page = await open_page(browser, viewport=VIEWS["desktop"], reduced_motion="reduce")
    stops = {}
    for name in (CHAPTER, NOTEBOOK, RESULTS):
        await page.goto(f"{base}/{name}", wait_until="load")
        stops[name] = []
        while not (stop := await press_tab(page))["end"]:
            stops[name].append(stop)

    await page.goto(f"{base}/{CHAPTER}", wait_until="load")
    skip = await press_tab(page)
    await page.keyboard.press("Enter")
    skipped = await press_tab(page)

    await page.locator(f"{DROPDOWN} > summary").first.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector(f"{DROPDOWN}[open]")

    await page.keyboard.press("Control+k")
    await page.keyboard.type("container")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#search-results li")
    found = await page.locator("#search-results li").count()

    await page.set_viewport_size(VIEWS["phone"])
    await page.goto(f"{base}/{CHAPTER}", wait_until="load")
    menus = {}
    for menu in ("primary", "secondary"):
        await page.locator(f".bd-main .{menu}-toggle").focus()
        await page.keyboard.press("Enter")
        dialog = page.locator(f"#pst-{menu}-sidebar-modal")
        await dialog.wait_for()
        links = await dialog.locator("a:visible").count()
        await page.evaluate(AXE_SCRIPT)
        menus[menu] = {"links": links, "violations": await violations(page, [COLORS, OTHERS])}
        await page.keyboard.press("Escape")
        await dialog.wait_for(state="hidden")
    await page.context.close()
    return {"stops": stops, "skip": skip, "skipped": skipped, "found": found, "menus": menus}


async def practise(browser: Browser, base: str) -> dict:
    """Guess and choose by keyboard, come back, and look at the same page without scripts."""
    page = await open_page(browser, viewport=NARROW, reduced_motion="reduce")
    await page.goto(f"{base}/{CHAPTER}", wait_until="load")
    seen = {"empty": await page.evaluate(GUESSES)}
    await page.locator(".guess input").first.focus()
    for text in ("40 ms", "soon", "3,5 s"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
        if text == "soon":
            seen["wrong"] = await page.evaluate(GUESSES)
            await page.keyboard.press("Shift+Tab")
            await page.keyboard.press("Control+a")
            await page.keyboard.press("Delete")
            await page.keyboard.press("Tab")
    seen["guessed"] = await page.evaluate(GUESSES)
    seen["overflow"] = await page.evaluate(OVERFLOW)
    await page.reload(wait_until="load")
    seen["again"] = await page.evaluate(GUESSES)

    await page.locator(".choice input").first.focus()
    await page.keyboard.press("Space")
    seen["first"] = await page.evaluate(CHOSEN)
    await page.keyboard.press("ArrowDown")
    seen["second"] = await page.evaluate(CHOSEN)
    await page.evaluate(AXE_SCRIPT)
    seen["violations"] = await violations(page, [COLORS, OTHERS])
    await page.context.close()

    page = await open_page(browser, java_script_enabled=False)
    await page.goto(f"{base}/{CHAPTER}", wait_until="load")
    seen["bare"] = {
        "fields": await page.locator(".practice input").count(),
        "hidden": [
            text
            for node in await page.locator(".practice :is(li, td, .explanation)").all()
            if not await node.is_visible()
            for text in [await node.text_content()]
        ],
        "explanations": await page.locator(".choice .explanation").count(),
    }
    await page.context.close()
    return seen


async def search(browser: Browser, folder: Path, base: str) -> dict:
    """What is found for some queries, and where the first hit leads to; once more without a server, as from a disk."""
    page = await open_page(browser, viewport=VIEWS["desktop"], reduced_motion="reduce")
    found = {}
    for query in SOUGHT:
        await page.goto(f"{base}/{SEARCH}?q={query}", wait_until="load")
        found[query] = {"hits": await page.evaluate(HITS)}
        if found[query]["hits"]:
            await page.locator("#search-results li a").first.click()
            await page.wait_for_url("**/*#*")
            found[query] |= await page.evaluate(SHOWN)
    await page.goto(f"{(folder / SEARCH).resolve().as_uri()}?q={SOUGHT[0]}", wait_until="load")
    found["from a disk"] = {"hits": await page.evaluate(HITS)}
    await page.context.close()
    return found


async def print_out(browser: Browser, base: str) -> dict:
    """A chapter and its notebook as Chromium prints them, grounds too, from a dark page: each sheet's words, and the colours."""
    page = await open_page(browser, viewport=VIEWS["desktop"], color_scheme="dark")
    printed = {}
    for name in (CHAPTER, NOTEBOOK):
        await page.goto(f"{base}/{name}", wait_until="load")
        answers = await page.locator(f"{DROPDOWN} .sd-summary-content :is(p, pre)").all_text_contents()
        dark = await page.evaluate(GROUND)
        sheets = PdfReader(io.BytesIO(await page.pdf(format="A4", print_background=True))).pages
        filled = {
            tuple(round(float(part) * 255) for part in colour)
            for sheet in sheets
            for colour in re.findall(rb"([0-9.]+) ([0-9.]+) ([0-9.]+) rg", sheet.get_contents().get_data())
        }
        await page.emulate_media(media="print")
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        printed[name] = {
            "sheets": [sheet.extract_text() for sheet in sheets],
            "answers": answers,
            "dark": dark,
            "filled": [*filled],
            "ground": await page.evaluate(GROUND),
            "colours": await page.evaluate(COLOURS),
        }
        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        await page.emulate_media(media="null")
        printed[name]["after"] = await page.evaluate(GROUND)
    await page.context.close()
    return printed


async def main(folder: Path) -> None:
    """Visit the pages below `folder` that the reading order names, and the search, in all views."""
    if not CHROMIUM:
        sys.exit("no Chromium: `make test` installs it, or `apt-get install chromium`")
    server = Server(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=HANG_S * 1000)
        page = await open_page(browser)
        await page.goto(f"{base}/")
        await page.wait_for_selector(".bd-docs-nav")
        order = [page.url, *await page.evaluate(ORDER)]
        await page.context.close()
        urls = [*order, f"{base}/{SEARCH}", f"{base}/{RESULTS}"]
        walks = await asyncio.gather(*(walk(browser, view, urls) for view in VIEWS))
        pages = {
            f"{view} {url.removeprefix(base + '/')}": page
            for view, seen in zip(VIEWS, walks, strict=True)
            for url, page in seen.items()
        }
        parts = {
            "keyboard": use_keyboard(browser, base),
            "printed": print_out(browser, base),
            "search": search(browser, folder, base),
            "practised": practise(browser, base),
            "pale": read_pale(browser),
        }
        done = dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))
        await browser.close()
    json.dump({"base": base, "order": order, "pages": pages} | done, sys.stdout)


asyncio.run(main(Path(sys.argv[1])))

"""Chromium, driven by Playwright, with an ear for everything that must not happen in it."""

import shutil
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

from .ports import HOST
from .waiting import DEADLINE, eventually

WIDE = (1280, 860)
NARROW = (390, 844)
_MOST_STOPS = 60
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

expect.set_options(timeout=DEADLINE * 1_000)


class Browser:
    """The Debian Chromium; a context manager."""

    def __enter__(self):
        program = shutil.which("chromium")
        assert program, "there is no chromium: install it (apt-get install chromium)"
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=program, args=_FLAGS)
        return self

    def __exit__(self, *_):
        self._browser.close()
        self._playwright.stop()

    def open(self, url, size=WIDE, **context):
        """Opens a page of its own, with its own storage."""
        width, height = size
        viewport = {"width": width, "height": height}
        permissions = ["clipboard-read", "clipboard-write"]
        made = self._browser.new_context(viewport=viewport, permissions=permissions, **context)
        return Reader(made, url)


class Reader:
    """Somebody who reads a page, and notes what must not happen; a context manager.

    `page` is Playwright's; `url` is that of the server.
    """

    def __init__(self, context, url):
        self.url = url
        self.complaints, self.strangers = [], set()
        self._context = context
        self.page = context.new_page()
        self.page.set_default_timeout(DEADLINE * 1_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dismiss)
        context.on("request", self._see)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        if error is None:
            self.check()
        self._context.close()

    def check(self):
        """Fails if the page complained, asked anybody but this machine, or is too wide."""
        assert not self.complaints, self.complaints
        assert not self.strangers, self.strangers
        beyond = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, f"the page is {beyond} pixels wider than the screen"

    def expect_refusal(self):
        """Forgets that Chromium itself noted an answer of 4xx, or none; it notes nothing else."""
        refusals = (
            "Failed to load resource: the server responded",
            "Failed to load resource: net::",
        )
        self.complaints = [text for text in self.complaints if not text.startswith(refusals)]

    def go(self, hash):
        """Goes to a view as one does who was given a link."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{hash}")

    def find(self, selector, **how):
        """Elements by a CSS selector."""
        return self.page.locator(selector, **how)

    def button(self, name, **how):
        """A button by its name."""
        return self.page.get_by_role("button", name=name, **how)

    @property
    def rows(self):
        """The rows of the list of traces."""
        return self.find("tr[data-trace]")

    @property
    def current(self):
        """The current row of the waterfall."""
        return self.find(".spans .row.current")

    def scroll_to(self, locator):
        """Scrolls until an element is at the top, with the mouse out of the way."""
        self.page.mouse.move(1, 1)
        locator.evaluate("element => element.scrollIntoView()")

    def tab_to(self, target):
        """Presses Tab until an element has focus; each stop on the way must be seen to have it."""
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        is_drawing = "document.activeElement.closest('.graph, .switch')"
        for _ in range(_MOST_STOPS):
            self.page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                return
            assert self.page.evaluate(f"{outline} !== 'none' || {is_drawing}"), "focus is not seen"
        raise AssertionError("Tab does not lead there")

    def sees(self, locator):
        """Waits until an element is on the screen with nothing over it."""
        expect(locator).to_be_in_viewport(ratio=1)
        covered = """element => {
            const { x, y, width, height } = element.getBoundingClientRect();
            const top = document.elementFromPoint(x + width / 2, y + height / 2);
            return !(element.contains(top) || top?.contains(element));
        }"""
        eventually(lambda: not locator.evaluate(covered), "the element to be uncovered")

    def tops(self, locator):
        """Where elements are on the screen, by their identity."""
        where = """all => all.map(element => [
            element.dataset.trace, element.getBoundingClientRect().top,
        ])"""
        return dict(locator.evaluate_all(where))

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _dismiss(self, dialog):
        self.complaints.append(f"a dialog says {dialog.message}")
        dialog.dismiss()

    def _see(self, request):
        address = urlsplit(request.url)
        is_here = address.scheme in ("data", "about") or address.hostname == HOST
        if not is_here:
            self.strangers.add(request.url)

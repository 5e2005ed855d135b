"""A real browser without a window: Chromium of the system, driven by playwright."""

import contextlib
import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120_000  # milliseconds; a machine may be slow


@contextlib.contextmanager
def browsing():
    """Yields the browser; skips the tests where playwright or Chromium is not installed."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: no tests in a browser"
    )
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("Chromium is not installed: no tests in a browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody who looks at the page.

    Attributes:
      tab: the page in the browser.
      elsewhere: what the browser has asked of other servers.
    """

    def __init__(self, browser, address, **options):
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE)
        self.tab = self.context.new_page()
        self.elsewhere = []
        self.tab.on("request", lambda request: self._note(address, request.url))
        self.tab.goto(address)
        self.tab.wait_for_selector("#slider")

    def bring(self, path):
        """Drops a file, in place of the one before."""
        clear = self.tab.locator("#photograph button[aria-label=Clear i]")
        if clear.count():
            clear.click()
        self.tab.set_input_files("#photograph input[type=file]", str(path))

    def take(self):
        """Waits for the result; returns its name and bytes."""
        self.tab.wait_for_selector("#download:visible")
        with self.tab.expect_download() as found:
            self.tab.click("#download")
        return found.value.suggested_filename, found.value.path().read_bytes()

    def pictures(self):
        """The bytes of the two pictures under the slider."""
        self.tab.wait_for_function(
            "[...document.querySelectorAll('#slider img')].filter("
            "picture => picture.complete && picture.naturalWidth).length == 2"
        )
        addresses = self.tab.eval_on_selector_all("#slider img", "all => all.map(one => one.src)")
        return [self.context.request.get(address).body() for address in addresses]

    def _note(self, address, url):
        if not url.startswith((f"{address}/", "data:", "blob:")):
            self.elsewhere.append(url)

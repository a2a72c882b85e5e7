"""A person's browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright


class Watch:
    """What a page asked for and said, for a person who wants to know why it shows nothing."""

    def __init__(self, page: Page) -> None:
        self.missing: list[str] = []
        self.said: list[str] = []
        self.pending: set[str] = set()
        page.on("request", lambda request: self.pending.add(request.url))
        page.on("requestfinished", lambda request: self.pending.discard(request.url))
        page.on("requestfailed", lambda request: self.said.append(f"{request.url}: {request.failure}"))
        page.on("response", self.response)
        page.on("console", lambda message: self.said.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    def response(self, response: Any) -> None:
        """Remember what the server did not have or could not do."""
        if response.status >= 400:
            self.said.append(f"{response.url}: {response.status}")
        if response.status >= 500 or response.status == 404:
            self.missing.append(response.url)

    def __str__(self) -> str:
        return "\n".join([*self.said, *(f"no answer yet: {url}" for url in sorted(self.pending))])


def see_history(url: str, picture: Path) -> list[dict[str, Any]]:
    """Open a Galaxy, see its history panel, and find nothing missing; return the cookies that it has set."""
    with sync_playwright() as playwright:
        # --no-sandbox: Chromium's own sandbox does not start for root, as whom containers are often tested.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 850})
        watch = Watch(page)
        try:
            page.goto(url)
            expect(page.locator("#current-history-panel")).to_be_visible(timeout=90_000)
            expect(page.locator("#current-history-panel")).to_contain_text("history", ignore_case=True, timeout=30_000)
            page.wait_for_timeout(3000)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{watch}") from error
        finally:
            page.screenshot(path=picture)
        cookies = [dict(cookie) for cookie in page.context.cookies()]
        browser.close()
    assert watch.missing == []
    return cookies


class Visitor:
    """A person who is logged in and has a page open."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._playwright = sync_playwright().start()
        browser = self._playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        self.page = browser.new_page(viewport={"width": 1400, "height": 850})
        self.watch = Watch(self.page)
        self.page.goto(f"{url}/login/start")
        self.page.fill("input[name=login]", email)
        self.page.fill("input[name=password]", password)
        self.page.click("button[name=login]")
        expect(self.page.locator("#current-history-panel")).to_be_visible(timeout=90_000)

    def sees(self, text: str, seconds: float) -> None:
        """See a text in the history panel, soon."""
        try:
            expect(self.page.locator("#current-history-panel")).to_contain_text(text, timeout=seconds * 1000)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.watch}") from error

    def leave(self) -> None:
        """Close the page."""
        self._playwright.stop()

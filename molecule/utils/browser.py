"""A person's browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright


def see_history(url: str, picture: Path) -> list[dict[str, Any]]:
    """Open a Galaxy, see its history panel, and find nothing missing; return the cookies that it has set."""
    with sync_playwright() as playwright:
        # --no-sandbox: Chromium's own sandbox does not start for root, as whom containers are often tested.
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 850})
        failed: list[str] = []
        page.on("response", lambda response: failed.append(response.url) if response.status >= 500 or response.status == 404 else None)
        page.goto(url)
        expect(page.locator("#current-history-panel")).to_be_visible(timeout=90_000)
        expect(page.locator("#current-history-panel")).to_contain_text("history", ignore_case=True, timeout=30_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=picture)
        cookies = [dict(cookie) for cookie in page.context.cookies()]
        browser.close()
    assert failed == []
    return cookies

"""Opens a headless Chromium for the tests, where Playwright and a browser are installed."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make browser-test installs it")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs Chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as started:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        opened = started.chromium.launch(executable_path=chromium, args=sandbox)
        yield opened
        opened.close()

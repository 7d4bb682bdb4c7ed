"""Fixtures: the app over the fakes, Debian's Chromium, and a page that must not cause errors.

A file replaces `served` to test another server; it marks its tests `browser`.
"""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from orpheus_server.settings import Settings
from tests.support.app import FakeServer
from tests.support.browser import open_page
from tests.support.served import ServedFakes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    # It starts before the environment of a test is cleaned, so it must not read the environment.
    with ServedFakes(FakeServer(settings=Settings.model_construct())) as served:
        yield served


@pytest.fixture(scope="package")
def browser() -> Iterator["Browser"]:
    """Chromium without a window. It has no sound device, and plays in real time all the same."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; on Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> list[str]:
    """Errors of the page, and its requests to other servers; a test removes those it expects."""
    return []


@pytest.fixture
def page(browser: "Browser", served: ServedFakes, problems: list[str]) -> Iterator["Page"]:
    """An empty page at the server's address; fails the test if `problems` are left at its end."""
    with open_page(browser, served.url, problems) as page:
        yield page
    assert problems == []

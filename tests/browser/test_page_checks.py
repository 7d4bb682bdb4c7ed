"""What the fixture `page` reports: otherwise the tests of pages would pass without checking."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# Never reached: requests to it are blocked in the browser.
OUTSIDE = "http://203.0.113.1"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('broken')", "console: broken"),
        ("setTimeout(() => { throw new Error('broken'); })", "exception: broken"),
        (f"new Image().src = '{OUTSIDE}/image.png'", f"request to {OUTSIDE}/image.png"),
        (f"fetch('{OUTSIDE}/data').catch(() => {{}})", f"request to {OUTSIDE}/data"),
        (f"new WebSocket('ws://{OUTSIDE[7:]}/')", f"WebSocket to ws://{OUTSIDE[7:]}/"),
        ("new Image().src = '/none.png'", "status of 404 (Not Found)"),
    ],
)
def test_problems(page: "Page", problems: list[str], script: str, problem: str) -> None:
    # A page without a policy, which would stop some of them earlier.
    page.goto("/health")
    page.evaluate(f"() => {{ {script}; }}")
    page.wait_for_function("() => true")
    for _ in range(200):
        if any(problem in each for each in problems):
            break
        page.wait_for_timeout(10)
    assert any(problem in each for each in problems), problems
    problems.clear()


def test_the_policy_of_a_page_is_in_force(page: "Page", problems: list[str]) -> None:
    page.goto("/docs")
    page.evaluate("() => { new Audio('/tts?prompt=Hello').load(); }")
    page.wait_for_event("console", lambda message: message.type == "error")
    assert any("Content Security Policy" in each for each in problems)
    problems.clear()

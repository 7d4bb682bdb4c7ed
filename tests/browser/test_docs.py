"""`/docs` in a browser: the players of its responses make sound."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest

from tests.support.browser import decode, play
from tests.support.realtime import SENTENCE
from tests.support.served import ServedFakes

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Response

pytestmark = pytest.mark.browser

SPEECH = "create_speech_v1_audio_speech_post"
SENTENCE_SEC = 2.56
SHORT, SHORT_SEC = "Hello you.", 0.768
CODEC_DELAY_SEC = 0.15
"""At most; an estimate of the length, which `aac` does not contain, is part of it."""


class Operation:
    """An operation of the API on the page."""

    def __init__(self, page: "Page", operation: str) -> None:
        self.page = page
        self.block = page.locator(f"[id^=operations-][id$={operation}]")

    def open(self) -> None:
        self.block.locator(".opblock-summary-control").click()

    def execute(self, **body: Any) -> "Response":
        """Sends the body, if any, and returns once the page shows the response."""
        if body:
            self.block.locator(".body-param__text").fill(json.dumps(body))
        with self.page.expect_response(lambda response: True) as response:
            self.block.locator(".execute").click()
        answer: Response = response.value
        answer.finished()
        self.block.locator(".loading-container").wait_for(state="detached")
        return answer

    @property
    def result(self) -> "Locator":
        return self.block.locator(".live-responses-table")

    @property
    def audio(self) -> "Locator":
        """The player, once it has loaded its sound."""
        audio = self.result.locator("audio")
        audio.evaluate(
            """async (audio) => {
              while (audio.readyState < HTMLMediaElement.HAVE_ENOUGH_DATA && !audio.error)
                await new Promise(requestAnimationFrame);
            }"""
        )
        return audio


def open_docs(page: "Page", operation: str = SPEECH) -> Operation:
    page.goto("/docs")
    opened = Operation(page, operation)
    opened.open()
    return opened


def pcm_of(served: ServedFakes, text: str) -> bytes:
    """Returns the speech, which is the same for every request."""
    body = {"input": text, "response_format": "pcm"}
    return httpx2.post(f"{served.url}/v1/audio/speech", json=body).content


def pcm_rms(served: ServedFakes, text: str) -> float:
    """Returns the level of the speech, where full scale is 1."""
    samples = np.frombuffer(pcm_of(served, text), dtype="<i2") / 32_768
    return float(np.sqrt(np.mean(np.square(samples))))


def check_sound(audio: "Locator", served: ServedFakes, text: str, duration_sec: float) -> None:
    """Checks the duration and the level of a player's sound, decoded and as it is played."""
    rms = pcm_rms(served, text)
    assert rms > 0.1
    duration = pytest.approx(duration_sec, abs=CODEC_DELAY_SEC)
    # Streamed `flac` does not contain its length.
    assert audio.evaluate("audio => audio.duration") in (duration, math.inf)
    decoded = decode(audio)
    assert decoded.duration_sec == duration
    assert decoded.rms == pytest.approx(rms, rel=0.1)
    played = play(audio)
    assert played.played_sec == duration
    assert played.peak > rms
    assert audio.evaluate("audio => audio.duration") == duration


@pytest.mark.parametrize(
    "options",
    [
        {"response_format": "wav"},
        {"response_format": "wav", "stream": True},
        {"response_format": "mp3"},
        {"response_format": "opus"},
        {"response_format": "aac"},
        {"response_format": "flac"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_player_plays_the_response(
    page: "Page", served: ServedFakes, options: dict[str, Any]
) -> None:
    """Regression: it loaded the request's URL with GET, which the page's policy blocks."""
    requests: list[str] = []
    operation = open_docs(page)
    page.on("request", lambda request: requests.append(f"{request.method} {request.url}"))
    assert operation.execute(input=SENTENCE, **options).status == 200
    check_sound(operation.audio, served, SENTENCE, SENTENCE_SEC)
    assert [each for each in requests if each.endswith("/v1/audio/speech")] == [
        f"POST {served.url}/v1/audio/speech"
    ]


def test_the_player_of_a_get(page: "Page", served: ServedFakes) -> None:
    """Its URL could have been loaded, but would have been spoken twice."""
    operation = open_docs(page, "speak_prompt_of_query_v1_tts_get")
    operation.block.get_by_placeholder("prompt").fill(SENTENCE)
    served.fakes.engine.requests.clear()
    assert operation.execute().request.method == "GET"
    check_sound(operation.audio, served, SENTENCE, SENTENCE_SEC)
    assert len(served.fakes.engine.requests) == 1 + 1  # with the one of `pcm_rms`


def test_another_response_replaces_the_first(page: "Page", served: ServedFakes) -> None:
    operation = open_docs(page)
    operation.execute(input=SENTENCE)
    first = operation.audio.evaluate("audio => audio.currentSrc")
    operation.execute(input=SHORT)
    operation.result.locator(f"source:not([src='{first}'])").wait_for(state="attached")
    check_sound(operation.audio, served, SHORT, SHORT_SEC)
    # The memory of the first one is free.
    (kept,) = page.evaluate("[...window.blobs.keys()]")
    assert kept == operation.audio.evaluate("audio => audio.currentSrc") != first


def test_the_rest_of_the_page_does_not_interrupt_it(page: "Page") -> None:
    operation = open_docs(page)
    operation.execute(input=SENTENCE)
    operation.audio.evaluate(
        "audio => { window.playing = audio; audio.loop = true; return audio.play(); }"
    )
    other = Operation(page, "list_models_v1_models_get")
    other.open()
    operation.block.locator(".body-param__text").fill("{}")
    other.block.locator(".execute").wait_for()
    assert operation.audio.evaluate("audio => audio === window.playing && !audio.paused")


def test_samples_without_a_header_are_a_file(
    page: "Page", served: ServedFakes, tmp_path: Path
) -> None:
    """No browser plays `pcm`; the page had an empty player for it."""
    operation = open_docs(page)
    operation.execute(input=SENTENCE, response_format="pcm")
    with page.expect_download() as download:
        operation.result.get_by_text("Download file").click()
    assert download.value.suggested_filename == "speech.pcm"
    path = tmp_path / "speech.pcm"
    download.value.save_as(path)
    assert path.read_bytes() == pcm_of(served, SENTENCE)
    assert operation.result.locator("audio").count() == 0


def test_an_error_is_shown_as_text(page: "Page", problems: list[str]) -> None:
    operation = open_docs(page)
    assert operation.execute(input="").status == 400
    operation.result.get_by_text("invalid_request_error").first.wait_for()
    (problem,) = problems
    assert "400 (Bad Request)" in problem
    problems.clear()

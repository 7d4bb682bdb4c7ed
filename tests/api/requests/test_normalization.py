"""`normalize` and `TTS_NORMALIZE`: what reaches voices that read letters, on every way in."""

from dataclasses import replace
from typing import Any

import pytest

from orpheus_server.checkpoints.published import ENGLISH
from orpheus_server.settings import Settings
from tests.support.app import FakeServer
from tests.support.completions import SPOKEN, USER, chat_model
from tests.support.realtime import open_session

WRITTEN = "It is 17:45 now."
SPELLED_OUT = "It is seventeen forty five now."
ALWAYS = Settings.model_construct(tts_normalize=True)
FRENCH = replace(
    ENGLISH,
    voices=tuple(replace(voice, language="fr") for voice in ENGLISH.voices),
    emotion_tags={},
)
CASES: list[tuple[Settings, bool | None, str]] = [
    (Settings.model_construct(), None, WRITTEN),
    (Settings.model_construct(), True, SPELLED_OUT),
    (Settings.model_construct(), False, WRITTEN),
    (ALWAYS, None, SPELLED_OUT),
    (ALWAYS, False, WRITTEN),
]
HEADER = "x-orpheus-ignored-fields"


def last_prompt(server: FakeServer) -> str:
    """Returns the text of the last prompt, without the name of the voice."""
    ids = server.engine.requests[-1].prompt_token_ids[2:-4]
    return "".join(chr(token_id + 31) for token_id in ids).partition(": ")[2]


def fields(requested: bool | None) -> dict[str, Any]:
    return {} if requested is None else {"normalize": requested}


@pytest.mark.parametrize(("settings", "requested", "expected"), CASES)
@pytest.mark.parametrize("route", ["/v1/audio/speech", "/tts", "GET /tts", "/v1/chat"])
def test_http(settings: Settings, requested: bool | None, expected: str, route: str) -> None:
    server = FakeServer(ENGLISH, settings=settings, chat=chat_model("It is 17:45", " now."))
    body = {"/v1/audio/speech": {"input": WRITTEN}, "/v1/chat": {"message": "What time is it?"}}
    sent = {**body.get(route, {"prompt": WRITTEN}), **fields(requested)}
    with server.client() as client:
        answer = (
            client.get("/tts", params=sent) if "GET" in route else client.post(route, json=sent)
        )
    assert answer.status_code == 200, answer.text
    assert HEADER not in answer.headers
    assert last_prompt(server) == expected


@pytest.mark.parametrize(("settings", "requested", "expected"), CASES)
def test_chat_completions(settings: Settings, requested: bool | None, expected: str) -> None:
    server = FakeServer(ENGLISH, settings=settings, chat=chat_model("It is 17:45", " now."))
    with server.client() as client:
        body = {"messages": [USER], **SPOKEN, "stream": True, **fields(requested)}
        answer = client.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.headers.get(HEADER)) == (200, None)
    assert last_prompt(server) == expected


@pytest.mark.parametrize(("settings", "requested", "expected"), CASES)
def test_websocket(settings: Settings, requested: bool | None, expected: str) -> None:
    server = FakeServer(ENGLISH, settings=settings)
    with open_session(server) as session:
        started = session.start(**fields(requested))
        assert started["ignored_fields"] == []
        events = [each for each in session.speak(WRITTEN) if isinstance(each, dict)]
    # Clients see the text as it was written.
    assert [each["text"] for each in events if "text" in each] == [WRITTEN]
    assert last_prompt(server) == expected


@pytest.mark.parametrize("settings", [Settings.model_construct(), ALWAYS])
@pytest.mark.parametrize("requested", [None, True, False])
def test_other_languages_are_unchanged(settings: Settings, requested: bool | None) -> None:
    server = FakeServer(FRENCH, settings=settings)
    with server.client() as client:
        text = "Il est 17:45, 5 kg > 3 kg, St. Louis."
        answer = client.post("/v1/audio/speech", json={"input": text, **fields(requested)})
    assert answer.headers.get(HEADER) == ("normalize" if requested else None)
    assert last_prompt(server) == text


@pytest.mark.parametrize(("requested", "ignored"), [(True, None), (False, "normalize")])
def test_voices_that_read_phonemes_always_normalize(requested: bool, ignored: str | None) -> None:
    server = FakeServer(chat=chat_model("Hello there."))
    with server.client() as client:
        for route, body in (
            ("/v1/audio/speech", {"input": "Hello."}),
            ("/tts", {"prompt": "Hello."}),
            ("/v1/chat", {"message": "Hello."}),
            ("/v1/chat/completions", {"messages": [USER], **SPOKEN, "stream": True}),
        ):
            answer = client.post(route, json={**body, "normalize": requested})
            assert (answer.status_code, answer.headers.get(HEADER)) == (200, ignored), route
    with open_session(FakeServer()) as session:
        assert session.start(normalize=requested)["ignored_fields"] == (
            [ignored] if ignored else []
        )


def test_text_alone_ignores_it() -> None:
    server = FakeServer(ENGLISH, chat=chat_model("Hello there."))
    with server.client() as client:
        for route, body in (
            ("/v1/chat", {"message": "Hello.", "stream_text": True}),
            ("/v1/chat/completions", {"messages": [USER]}),
        ):
            answer = client.post(route, json={**body, "normalize": True})
            assert answer.headers[HEADER] == "normalize"


def test_unknown_fields_of_tts_are_named_too() -> None:
    with FakeServer().client() as client:
        answer = client.post("/tts", json={"prompt": "Hello.", "normalize": False, "other": 1})
    assert answer.headers[HEADER] == "normalize, other"

"""Markup on every way in: what is spoken, what is counted, and how it is turned off."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from orpheus_server.fakes import ReplyScript
from tests.support.app import FakeServer
from tests.support.completions import CompletionsClient
from tests.support.realtime import DONE, FLUSH, Received, Session, delta, open_session
from tests.support.speech import SpeechClient, read_events

TEXT = "**Tom** &amp; [Jerry](https://a.com/b) 🎉 <think>hm</think> un<b>believ</b>able [1]."
SPOKEN = "Tom & Jerry unbelievable [1]."
NUM_LEFT_OUT = 3


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(FakeServer()) as session:
        yield session


def prompts_of(server: FakeServer) -> list[tuple[int, ...]]:
    """Returns the prompts since the last call."""
    prompts = [request.prompt_token_ids for request in server.engine.requests]
    server.engine.requests.clear()
    return prompts


def texts_of(received: list[Received]) -> list[str]:
    events = [each for each in received if isinstance(each, dict)]
    return [each["text"] for each in events if each["type"] == "chunk.start"]


def done_of(received: list[Received]) -> dict[str, Any]:
    last = received[-1]
    assert isinstance(last, dict)
    assert last["type"] == "audio.done", last
    return last


class TestSpeech:
    @pytest.mark.parametrize("fields", [{}, {"stream": False}, {"stream_format": "sse"}])
    def test_it_is_spoken_without_markup(
        self, speech: SpeechClient, fields: dict[str, Any]
    ) -> None:
        answer = speech.post(TEXT, **fields)
        assert answer.status_code == 200
        assert answer.headers["x-orpheus-left-out"] == str(NUM_LEFT_OUT)
        spoken = prompts_of(speech.server)
        plain = speech.post(SPOKEN, markup="plain", **fields)
        assert "x-orpheus-left-out" not in plain.headers
        assert prompts_of(speech.server) == spoken

    def test_auto_is_the_default(self, speech: SpeechClient) -> None:
        for fields in ({"markup": "auto"}, {"markup": None}):
            answer = speech.post(TEXT, **fields)
            assert answer.headers["x-orpheus-left-out"] == str(NUM_LEFT_OUT)
            assert "x-orpheus-ignored-fields" not in answer.headers

    def test_turned_off(self, speech: SpeechClient) -> None:
        answer = speech.post("So `x` <think>hm</think> &amp;", markup="plain")
        assert answer.status_code == 200
        assert "x-orpheus-left-out" not in answer.headers
        spoken = prompts_of(speech.server)
        speech.post("So `x` <think>hm</think> &amp;")
        assert prompts_of(speech.server) != spoken

    @pytest.mark.parametrize("markup", ["", "PLAIN", "chat", "markdown", 1, True, ["plain"]])
    def test_another_value(self, speech: SpeechClient, markup: object) -> None:
        answer = speech.post(markup=markup)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["message"] == "'markup': Input should be 'auto' or 'plain'."
        assert (error["param"], error["code"], error["type"]) == (
            "markup",
            "invalid_value",
            "invalid_request_error",
        )

    def test_nothing_but_markup(self, speech: SpeechClient) -> None:
        answer = speech.post("```\nprint(1)\n```")
        assert answer.headers["x-orpheus-nothing-to-speak"] == "true"
        assert answer.headers["x-orpheus-left-out"] == "1"
        assert answer.content == bytes(9600)

    def test_events_end_as_usual(self, speech: SpeechClient) -> None:
        events = read_events(speech.post(TEXT, stream_format="sse").content)
        assert events[-1]["type"] == "speech.audio.done"


@pytest.mark.parametrize("method", ["GET", "POST"])
class TestTts:
    def ask(self, speech: SpeechClient, method: str, **fields: str) -> Any:
        if method == "GET":
            return speech.client.get("/tts", params=fields)
        return speech.client.post("/tts", json=fields)

    def test_it_is_spoken_without_markup(self, speech: SpeechClient, method: str) -> None:
        answer = self.ask(speech, method, prompt=TEXT)
        assert answer.headers["x-orpheus-left-out"] == str(NUM_LEFT_OUT)
        spoken = prompts_of(speech.server)
        plain = self.ask(speech, method, prompt=SPOKEN, markup="plain")
        assert "x-orpheus-left-out" not in plain.headers
        assert "x-orpheus-ignored-fields" not in plain.headers
        assert prompts_of(speech.server) == spoken

    def test_another_value(self, speech: SpeechClient, method: str) -> None:
        answer = self.ask(speech, method, prompt="Hello.", markup="none")
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["param"], error["code"]) == ("markup", "invalid_value")


class TestWebSocket:
    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_it_is_spoken_without_markup(self, session: Session, size: int) -> None:
        session.start()
        deltas = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
        received = session.speak(*deltas)
        assert texts_of(received) == [SPOKEN]
        assert done_of(received)["num_left_out"] == NUM_LEFT_OUT

    def test_each_utterance_has_its_own_count(self, session: Session) -> None:
        session.start()
        for text, num_left_out in (("Hi 🎉 you.", 1), ("Hi you.", 0), ("😀 Hi 😀 😀", 3)):
            assert done_of(session.speak(text))["num_left_out"] == num_left_out

    def test_turned_off_until_the_next_start(self, session: Session) -> None:
        text = "So &amp; [a](b) it is."
        session.start(markup="plain")
        for _ in range(2):
            received = session.speak(text)
            assert texts_of(received) == [text]
            assert done_of(received)["num_left_out"] == 0
        session.start()
        assert texts_of(session.speak(text)) == ["So & a it is."]

    def test_another_value(self, session: Session) -> None:
        session.send({"type": "session.start", "markup": "off"})
        (event,) = session.until("session.started", "error")
        assert isinstance(event, dict)
        assert (event["error"]["param"], event["error"]["code"]) == ("markup", "invalid_event")

    def test_an_open_thought_is_spoken_once_the_text_is_complete(self, session: Session) -> None:
        session.start()
        received = session.speak("Then he said ", "<think>", " and walked", " away.")
        assert texts_of(received) == ["Then he said think and walked away."]

    def test_a_flush_within_a_thought(self, session: Session) -> None:
        session.start()
        session.send(delta("<think>One."), FLUSH, delta(" Two.</think> Three."), DONE)
        received = session.until("audio.done", "error")
        assert texts_of(received) == ["Three."]
        assert done_of(received)["num_left_out"] == 1

    def test_cancelled(self, session: Session) -> None:
        session.start()
        session.send(delta("Hi 🎉 [a](b"), {"type": "cancel"})
        done = done_of(session.until("audio.done", "error"))
        assert (done["num_left_out"], done["is_cancelled"]) == (1, True)


class TestCompletions:
    def test_what_is_left_out_is_counted(self, completions: CompletionsClient) -> None:
        completions.chat.enqueue(ReplyScript(("Hi 🎉 :smile: [a](b)", " you [1].")))
        answer = completions.spoken(audio={"voice": "alloy", "format": "wav"})
        assert answer.headers["x-orpheus-left-out"] == "4"
        spoken = prompts_of(completions.server)
        completions.chat.enqueue(ReplyScript(("Hi a you.",)))
        answer = completions.spoken(audio={"voice": "alloy", "format": "wav"})
        assert "x-orpheus-left-out" not in answer.headers
        assert prompts_of(completions.server) == spoken

    def test_the_last_audio_of_a_stream_counts_what_is_left_out(
        self, completions: CompletionsClient
    ) -> None:
        for text, num_left_out in (("Hi 🎉 you [1].", 2), ("Hi you.", 0)):
            completions.chat.enqueue(ReplyScript((text,)))
            answer = completions.spoken(audio={"voice": "alloy", "format": "pcm16"}, stream=True)
            counts = re.findall(r'"num_left_out":(\d+)', answer.text)
            assert counts == [str(num_left_out)]
            assert "x-orpheus-left-out" not in answer.headers

    def test_text_alone_has_no_count(self, completions: CompletionsClient) -> None:
        completions.chat.enqueue(ReplyScript(("Hi 🎉.",)))
        assert "x-orpheus-left-out" not in completions.post().headers

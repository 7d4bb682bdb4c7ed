"""How answers are judged: every kind of failure is found, and correct answers pass."""

import base64
import json

import pytest

from orpheus_server.bench.client.exchange import Behaviour, Exchange
from orpheus_server.bench.soak.mix import Ask, Kind, Mistake
from orpheus_server.bench.soak.result import SoakResult, judge
from tests.bench.builders import REQUEST_ID, SECOND, SPEECH, TEXT, envelope, exchange
from tests.bench.scripted_server import SILENCE

UNAVAILABLE = envelope("service_unavailable_error", "server_is_overloaded")


def ask(kind: Kind = "pcm", *, mistake: Mistake | None = None) -> Ask:
    return Ask(kind, TEXT, "pcm", 1, Behaviour(), mistake=mistake)


def test_a_clean_stream() -> None:
    assert judge(ask(), exchange()) == SoakResult(
        "pcm", "ok", 2.0, None, first_audio_sec=0.25, num_underruns=0
    )


def test_an_underrun_is_not_a_failure() -> None:
    pieces = [(0.25, len(SECOND)), (1.5, 2 * len(SECOND))]
    result = judge(ask(), exchange(pieces=pieces))
    assert (result.outcome, result.num_underruns) == ("ok", 1)


def test_underruns_are_not_counted_for_a_slow_reader() -> None:
    result = judge(ask("slow reader"), exchange())
    assert (result.first_audio_sec, result.num_underruns) == (0.25, None)


def test_events() -> None:
    events = [
        {"type": "speech.audio.delta", "audio": base64.b64encode(SPEECH).decode()},
        {"type": "speech.audio.done"},
    ]
    blocks = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    assert judge(ask("sse"), exchange(b"".join(blocks))).outcome == "ok"
    assert judge(ask("sse"), exchange(blocks[0])).failure == "no speech.audio.done"


@pytest.mark.parametrize("status", [None, 200, 503])
def test_cut_by_the_client(status: int | None) -> None:
    """An error that the client did not read to its end is not an invalid envelope."""
    assert judge(ask("cut"), exchange(b'{"err', status=status, is_cut=True)).outcome == "cut"


def test_an_error_before_the_client_leaves() -> None:
    """A client that is meant to hang up must not hide a failure of the server."""
    found = exchange(envelope("server_error"), status=500)
    assert judge(ask("hang up"), found).failure == "500 invalid_value"


@pytest.mark.parametrize("status", [503, 429])
def test_refused_with_retry_after(status: int) -> None:
    headers = {**REQUEST_ID, "retry-after": "7"}
    result = judge(ask(), exchange(UNAVAILABLE, status=status, headers=headers))
    assert result == SoakResult("pcm", "refused", 2.0, None, retry_after_sec=7)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (exchange(SPEECH[:-1]), "body ends in half a sample"),
        (exchange(SECOND[:9_600]), "too short for its text"),
        (exchange(SILENCE * 300), "nothing audible"),
        (exchange(b""), "empty body"),
        (exchange(broken="broken body: RemoteProtocolError"), "broken body: RemoteProtocolError"),
        (exchange(b"", status=None, broken="timeout"), "timeout"),
        (exchange(b"", status=None, broken="no answer: ReadError"), "no answer: ReadError"),
        (exchange(envelope("server_error", "internal_error"), status=500), "500 internal_error"),
        (exchange(envelope("server_error", "timeout"), status=504), "504 timeout"),
        (exchange(envelope(), status=400), "400 invalid_value"),
        (exchange(b"oops", status=500), "500 without an error in OpenAI's envelope"),
        (exchange(envelope(), status=400, headers={}), "400 without x-request-id"),
        (exchange(UNAVAILABLE, status=503), "503 with Retry-After 'missing'"),
    ],
)
def test_failures(answer: Exchange, failure: str) -> None:
    result = judge(ask(), answer)
    assert (result.outcome, result.failure) == ("failed", failure)
    assert result.first_audio_sec is None


class TestBadInput:
    MISTAKE = Mistake("unknown model", b"{}", 404)

    def test_the_expected_status(self) -> None:
        bad_ask = ask("bad input", mistake=self.MISTAKE)
        assert judge(bad_ask, exchange(envelope(), status=404)).outcome == "bad input"

    def test_another_status(self) -> None:
        bad_ask = ask("bad input", mistake=self.MISTAKE)
        result = judge(bad_ask, exchange(envelope(), status=400))
        assert result.failure == "unknown model: 400 invalid_value instead of 404"

    def test_bad_input_that_is_spoken(self) -> None:
        bad_ask = ask("bad input", mistake=self.MISTAKE)
        assert judge(bad_ask, exchange()).failure == "unknown model: 200 instead of 404"

    def test_a_full_server_may_refuse_it_unread(self) -> None:
        headers = {**REQUEST_ID, "retry-after": "7"}
        answer = exchange(UNAVAILABLE, status=503, headers=headers)
        assert judge(ask("bad input", mistake=self.MISTAKE), answer).outcome == "refused"

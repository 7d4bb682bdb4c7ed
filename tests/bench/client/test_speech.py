"""One speech request: exact times over a scripted transport, the rest over a real connection."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from orpheus_server.bench.client.player import BYTES_PER_SEC, Piece
from orpheus_server.bench.client.request_result import SpeechResponse, measure
from orpheus_server.bench.client.speech import SpeechClient, Target, Unreachable, describe
from orpheus_server.bench.machine_card import ServerFacts
from tests.bench.scripted_server import (
    OVERLOADED,
    SILENCE,
    SOUND,
    Script,
    ScriptedApp,
    serve_script,
)
from tests.bench.virtual_time import VirtualTime

pytestmark = pytest.mark.anyio

SECOND = SOUND * 100


@dataclass
class TimedBody(httpx2.AsyncByteStream):
    """Sends each piece that many seconds after the previous one was read; then ends or raises."""

    time: VirtualTime
    pieces: list[tuple[float, bytes]]
    error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for after_sec, data in self.pieces:
            self.time.now_sec += after_sec
            yield data
        if self.error is not None:
            raise self.error


async def speak_timed(
    time: VirtualTime, body: TimedBody, *, reads_in_real_time: bool = False
) -> SpeechResponse:
    """Returns the response to a request whose headers arrive after half a second."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        time.now_sec += 0.5
        return httpx2.Response(200, stream=body)

    target = Target("http://server", reads_in_real_time=reads_in_real_time)
    async with SpeechClient(
        target, clock=time.clock, sleep=time.sleep, transport=httpx2.MockTransport(respond)
    ) as client:
        return await client.speak("Hello.", seed=1)


class TestTimes:
    async def test_pieces(self) -> None:
        """Neither headers nor empty pieces count as audio; the total lasts until the body ends."""
        time = VirtualTime()
        pieces = [(0.25, SILENCE), (0.125, b""), (0.125, SOUND), (1.0, b"")]
        assert await speak_timed(time, TimedBody(time, pieces)) == SpeechResponse(
            started_sec=100.0,
            total_sec=2.0,
            pieces=(Piece(0.75, 480), Piece(1.0, 480)),
            audible_byte=480,
            failure=None,
        )

    async def test_a_body_that_breaks(self) -> None:
        time = VirtualTime()
        error = httpx2.RemoteProtocolError("peer closed the connection")
        answer = await speak_timed(time, TimedBody(time, [(0.25, SOUND)], error))
        assert answer.failure == "broken body: RemoteProtocolError"
        assert (answer.total_sec, answer.pieces) == (0.75, (Piece(0.75, 480),))

    async def test_a_real_time_reader_stays_one_second_ahead(self) -> None:
        """Three seconds arrive at 0.5: the reader waits two before it reads the next piece, and at
        the end until all four seconds have been played. Its waits are not underruns."""
        time = VirtualTime()
        body = TimedBody(time, [(0.0, SECOND * 3), (0.0, SECOND)])
        answer = await speak_timed(time, body, reads_in_real_time=True)
        assert time.sleeps == [2.0, 1.0, 1.0]
        assert answer.pieces == (Piece(0.5, 3 * BYTES_PER_SEC), Piece(2.5, BYTES_PER_SEC))
        assert answer.total_sec == 3.5
        heard = measure(answer).heard
        assert heard is not None
        assert heard.num_underruns == 0

    async def test_a_real_time_reader_of_an_empty_body(self) -> None:
        time = VirtualTime()
        answer = await speak_timed(time, TimedBody(time, []), reads_in_real_time=True)
        assert (time.sleeps, answer.pieces, answer.failure) == ([], (), None)

    async def test_a_real_time_reader_does_not_delay_a_slow_server(self) -> None:
        time = VirtualTime()
        body = TimedBody(time, [(0.0, SECOND), (2.0, SECOND)])
        answer = await speak_timed(time, body, reads_in_real_time=True)
        assert (time.sleeps, answer.total_sec) == ([], 2.5)


async def speak_to(
    script: Callable[[dict[str, Any]], Script], *, app: ScriptedApp | None = None, **target: Any
) -> SpeechResponse:
    """Returns the response to one request over a real connection."""
    app = app or ScriptedApp()
    app.script = script
    with serve_script(app) as url:
        async with SpeechClient(Target(url, **target), api_key="secret") as client:
            return await client.speak("Hello there.", seed=42)


class TestConnection:
    async def test_the_request(self) -> None:
        app = ScriptedApp()
        answer = await speak_to(lambda body: Script(), app=app, voice="leo")
        assert app.bodies == [
            {
                "model": "tts-1",
                "voice": "leo",
                "input": "Hello there.",
                "response_format": "pcm",
                "seed": 42,
                "stream": True,
            }
        ]
        assert app.headers[0][b"authorization"] == b"Bearer secret"
        assert app.headers[0][b"accept-encoding"] == b"identity"
        assert answer.failure is None
        assert sum(piece.num_bytes for piece in answer.pieces) == 960
        assert answer.audible_byte == 480

    async def test_a_whole_file_is_requested_without_stream(self) -> None:
        app = ScriptedApp()
        await speak_to(lambda body: Script(), app=app, is_streaming=False)
        assert "stream" not in app.bodies[0]

    async def test_times_are_in_order(self) -> None:
        answer = await speak_to(lambda body: Script([SOUND] * 50))
        times = [piece.at_sec for piece in answer.pieces]
        assert times == sorted(times)
        assert 0 < times[0] <= times[-1] <= answer.total_sec

    async def test_an_overloaded_server(self) -> None:
        answer = await speak_to(lambda body: Script([json.dumps(OVERLOADED).encode()], 503))
        assert answer.failure == "503 overloaded"
        assert answer.pieces == ()

    @pytest.mark.parametrize(
        "script",
        [Script([SOUND], breaks_off=True), Script([SOUND], breaks_off=True, announced_bytes=9600)],
        ids=["chunked", "with a length"],
    )
    async def test_a_body_that_ends_early(self, script: Script) -> None:
        answer = await speak_to(lambda body: script)
        assert answer.failure == "broken body: RemoteProtocolError"

    async def test_a_connection_that_ends_before_any_audio(self) -> None:
        answer = await speak_to(lambda body: Script([], breaks_off=True))
        assert answer.failure == "no answer: RemoteProtocolError"

    async def test_an_unreachable_server(self) -> None:
        with serve_script(ScriptedApp()) as url:
            pass
        async with SpeechClient(Target(url)) as client:
            answer = await client.speak("Hello.", seed=1)
            assert answer.failure == "no answer: ConnectError"
            with pytest.raises(Unreachable, match="/health does not answer"):
                await client.facts()


async def test_a_timeout() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        raise TimeoutError

    transport = httpx2.MockTransport(respond)
    async with SpeechClient(Target("http://server"), transport=transport) as client:
        assert (await client.speak("Hello.", seed=1)).failure == "timeout"


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_facts(ending: str) -> None:
    with serve_script(ScriptedApp()) as url:
        async with SpeechClient(Target(url + ending)) as client:
            assert await client.facts() == ServerFacts(model="a scripted model", version="7.8.9")
            assert (await client.speak("Hello.", seed=1)).failure is None


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"model": {"name": "x"}}'])
async def test_facts_of_another_server(page: bytes) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(404, content=page))
    async with SpeechClient(Target("http://server"), transport=transport) as client:
        assert await client.facts() == ServerFacts(model=None, version=None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (OVERLOADED, "503 overloaded"),
        ({"error": {"type": "server_error", "code": None}}, "503 server_error"),
        ({"detail": "no"}, "503"),
        ({"error": "no"}, "503"),
        ([], "503"),
    ],
)
def test_the_description_of_an_error(body: object, expected: str) -> None:
    assert describe(503, json.dumps(body).encode()) == expected
    assert describe(502, b"<html>") == "502"

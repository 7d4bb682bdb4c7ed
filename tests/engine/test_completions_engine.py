"""Servers of completions as one engine: order, fail-over, faults of a stream, recovery."""

import asyncio
import logging
from dataclasses import replace

import pytest

from orpheus_server.errors import EngineDead, EngineNotReady, GenerationFailed, StartError
from tests.support.app import speech_ids, wait_for
from tests.support.completion_stub import Stream, dies, hangs, name_of, plays
from tests.support.completions_bench import (
    PROMPT,
    REQUEST,
    SPEECH,
    Reading,
    build,
    generate,
    ids_of,
    open_engine,
    speaking,
)

pytestmark = pytest.mark.anyio

DIALECTS = ["llama-server", "vLLM", "text"]


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("orpheus_server"), "propagate", True)
    caplog.set_level(logging.INFO, "orpheus_server")
    return caplog


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_delta_is_a_frame_and_the_last_one_has_the_stop_id(dialect: str) -> None:
    async with open_engine(speaking(dialect)) as engine:
        deltas = await generate(engine)
    assert ids_of(deltas) == SPEECH
    assert deltas[-1].finish_reason == "stop"
    assert all(len(delta.token_ids) % 7 == 0 for delta in deltas[:-1])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_generation_that_is_cut_off(dialect: str) -> None:
    stub = speaking(dialect)
    stub.default = plays(speech_ids(2), "length")
    async with open_engine(stub) as engine:
        deltas = await generate(engine)
    assert (ids_of(deltas), deltas[-1].finish_reason) == (speech_ids(2), "length")


@pytest.mark.parametrize(
    ("dialects", "num_slots"),
    [(("llama-server",), 4), (("llama-server", "llama-server"), 8), (("vLLM",), None)],
)
async def test_slots_are_those_of_all_servers(
    dialects: tuple[str, ...], num_slots: int | None
) -> None:
    """With 16 sentences on four slots, a fast server was measured as one for a single stream."""
    async with open_engine(*map(speaking, dialects)) as engine:
        assert engine.count_slots() == num_slots


async def test_slots_are_unknown_if_one_server_does_not_say() -> None:
    async with open_engine(speaking("llama-server"), speaking("text")) as engine:
        assert engine.count_slots() is None
        engine._servers[1].is_up = False
        assert engine.count_slots() == 4
        engine._servers[0].is_up = False
        assert engine.count_slots() is None


async def test_connections_are_reused() -> None:
    stub = speaking()
    async with stub.serve() as served:
        engine = await build(served.url)
        num_before = served.num_connections
        for _ in range(3):
            assert ids_of(await generate(engine)) == SPEECH
        assert served.num_connections == num_before + 1
        await engine.close()


async def test_a_model_that_does_not_end_on_the_stop_id() -> None:
    """The connection is closed after the stop id, and from then on without waiting for the end."""
    stub = speaking()

    async def goes_on(stream: Stream) -> None:
        stream.send(*SPEECH)
        await stream.response.gone.wait()

    stub.default = goes_on
    async with open_engine(stub) as engine:
        for _ in range(2):
            assert ids_of(await generate(engine)) == SPEECH
        await wait_for(lambda: all(stream.response.gone.is_set() for stream in stub.streams))


async def test_the_least_busy_server_is_chosen() -> None:
    stubs = [speaking(), speaking(), speaking()]
    gate = asyncio.Event()

    async def waiting(stream: Stream) -> None:
        stream.send(*SPEECH[:7])
        await stream.response.wait(gate)
        stream.send(*SPEECH[7:])
        stream.finish()

    async with open_engine(*stubs) as engine:
        for stub in stubs:
            stub.queue = [waiting, waiting]
        readings = [Reading.of(engine) for _ in range(5)]
        await wait_for(lambda: sum(len(stub.streams) for stub in stubs) == 5)
        assert sorted(len(stub.streams) for stub in stubs) == [1, 2, 2]
        assert engine.num_active == 5
        idle = next(stub for stub in stubs if len(stub.streams) == 1)
        readings.append(Reading.of(engine))
        await wait_for(lambda: len(idle.streams) == 2)
        gate.set()
        for reading in readings:
            assert ids_of(await reading.task) == SPEECH


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("num_ids", [0, 3, 7, 15])
async def test_another_server_continues_after_the_ids_that_were_received(
    dialect: str, num_ids: int
) -> None:
    first, second = speaking(dialect), speaking(dialect)
    first.queue = [dies(SPEECH[:num_ids])]
    second.queue = [plays(SPEECH[num_ids:])]
    async with open_engine(first, second) as engine:
        deltas = await generate(engine)
        assert ids_of(deltas) == SPEECH
        body = second.streams[0].requested.body
        sent = [body["prompt"], body.get("n_predict") or body.get("max_tokens")]
        kept = SPEECH[:num_ids]
        if dialect == "text":
            assert sent[0].endswith(" ".join(["<sos>", *map(name_of, kept)]))
        else:
            assert sent[0] == [*PROMPT, *kept]
        assert sent[1] == 100 - num_ids


async def test_all_tokens_had_been_received() -> None:
    """Only the end of the stream is missing, and no server could continue."""
    first, second = speaking(), speaking()
    first.queue = [dies(speech_ids(2))]
    async with open_engine(first, second) as engine:
        deltas = await generate(engine, replace(REQUEST, max_tokens=14))
    assert (ids_of(deltas), deltas[-1].finish_reason) == (speech_ids(2), "length")
    assert second.streams == []


async def test_a_lost_connection_is_not_a_dead_server() -> None:
    """The only server remains usable: the retry policy starts another attempt."""
    stub = speaking()
    stub.queue = [dies(SPEECH[:7])]
    async with open_engine(stub) as engine:
        with pytest.raises(GenerationFailed, match="failed: the connection broke"):
            await generate(engine)
        assert engine.is_alive
        assert ids_of(await generate(engine)) == SPEECH


async def test_no_server_is_left_and_one_returns(logged: pytest.LogCaptureFixture) -> None:
    stub = speaking()
    async with stub.serve() as served:
        engine = await build(served.url)
        port = served.port
        assert ids_of(await generate(engine)) == SPEECH
    with pytest.raises(EngineDead, match="no completion server answers"):
        await generate(engine)
    assert not engine.is_alive
    with pytest.raises(EngineDead):
        await generate(engine)
    other = speaking("vLLM")
    async with other.serve(port):
        for check in engine._checks.values():
            await asyncio.to_thread(check.check)
        assert engine.is_alive
        assert ids_of(await generate(engine)) == SPEECH
        await engine.close()
    assert "answers: vLLM API, context 2048" in logged.text


async def test_a_server_is_down_before_a_request_finds_out(
    logged: pytest.LogCaptureFixture,
) -> None:
    stub = speaking()
    async with open_engine(stub) as engine:
        (check,) = engine._checks.values()
        await asyncio.to_thread(check.check)
        assert engine.is_alive
        stub.path_answers["/health"] = (503, {"error": "loading"})
        for _ in range(2):
            await asyncio.to_thread(check.check)
            assert not engine.is_alive
            stub.path_answers["/props"] = (503, {"error": "loading"})
        stub.path_answers.clear()
        await asyncio.to_thread(check.check)
        assert engine.is_alive
    assert logged.text.count("cannot be used") == 2


async def test_a_regular_check_finds_a_server_that_started_later() -> None:
    first, second = speaking(), speaking()
    second.path_answers["/props"] = (503, {})
    async with open_engine(first, second, health_interval_sec=0.01) as engine:
        assert engine.num_active == 0
        second.path_answers.clear()
        await wait_for(lambda: all(server.is_up for server in engine._servers))


DAMAGES = {
    "repeat": "lost, repeated or reordered",
    "lose": "lost, repeated or reordered",
    "reorder": "lost, repeated or reordered",
    "beyond": "sent the id 992, but the vocabulary has 992",
    "negative": "sent the id -1",
    "nothing": "the stream ended early",
    "html": "the stream ended early",
    "no ids": "without token ids",
    "not json": "not a JSON object",
    "error": r"reported an error \(server_error\)",
    "too long": "too long in its stream",
}
# A text has no counts per event and no negative ids.
DAMAGED_STREAMS = [
    (dialect, damage)
    for dialect in DIALECTS
    for damage in DAMAGES
    if dialect != "text" or damage not in ("reorder", "negative", "no ids")
]


@pytest.mark.parametrize(("dialect", "damage"), DAMAGED_STREAMS)
async def test_a_damaged_stream(dialect: str, damage: str) -> None:
    """Another server continues after the ids before the damage; without one, the request fails."""
    first, second = speaking(dialect), speaking(dialect)

    async def play(stream: Stream) -> None:
        if damage == "html":
            stream.response.head(kind="text/html")
            stream.response.raw(b"<html>\n")
            stream.response.end()
            return
        stream.start()
        if damage == "nothing":
            stream.response.end()
            return
        stream.send(*SPEECH[:7])
        match damage:
            case "repeat":
                stream.send(SPEECH[6], SPEECH[5], num_counted=7)
            case "lose":
                stream.num_sent += 3
                stream.send(SPEECH[9])
            case "reorder":
                stream.num_sent = 8
                stream.send(SPEECH[8])
                stream.send(SPEECH[7], num_counted=8)
            case "beyond":
                stream.send(992)
            case "negative":
                stream.send(-1)
            case "no ids":
                choice = {"text": "a", "finish_reason": None, "token_ids": ["a"]}
                stream.response.event({"choices": [choice], "stop": False})
            case "not json":
                stream.response.event("[1")
            case "error":
                stream.response.event({"error": {"message": "a prompt", "type": "server_error"}})
            case "too long":
                stream.response.raw(b"data: " + b"x" * (1 << 20))
        if dialect == "text" and damage in ("repeat", "lose"):
            count = 4 if damage == "repeat" else 17
            stream.finish(num_counted=count)
        else:
            await stream.response.gone.wait()

    first.queue, second.queue = [play], [plays(SPEECH[7:])]
    whole_message = "repeated or lost" if dialect == "text" and damage in ("repeat", "lose") else ""
    async with open_engine(first) as engine:
        with pytest.raises(GenerationFailed, match=whole_message or DAMAGES[damage]):
            await generate(engine)
        assert engine.is_alive
    if whole_message or damage in ("nothing", "html"):
        return
    first.queue = [play]
    async with open_engine(first, second) as engine:
        assert ids_of(await generate(engine)) == SPEECH


async def test_text_instead_of_audio_tokens() -> None:
    stub = speaking("text")

    async def play(stream: Stream) -> None:
        for _ in range(9):
            stream.text("Sure! Here is the speech that you requested: ")
        await stream.response.gone.wait()

    stub.queue = [play]
    async with open_engine(stub) as engine:
        with pytest.raises(GenerationFailed, match="writes text instead of audio tokens"):
            await generate(engine)


async def test_text_cut_anywhere_with_other_characters() -> None:
    stub = speaking("text")
    whole = " ".join(name_of(token_id) for token_id in SPEECH[:-1]) + "\n\u00e9\ud83d"

    async def play(stream: Stream) -> None:
        for start in range(0, len(whole), 5):
            stream.text(whole[start : start + 5])
        stream.num_sent = len(SPEECH) + 9
        stream.finish()

    stub.queue = [play]
    async with open_engine(stub) as engine:
        assert ids_of(await generate(engine)) == SPEECH


@pytest.mark.parametrize("num_ids", [0, 7])
async def test_no_token_for_too_long(num_ids: int) -> None:
    """The server is not used again until a probe has generated a token."""
    stub = speaking()

    async def play(stream: Stream) -> None:
        stream.send(*SPEECH[:num_ids])
        await stream.response.gone.wait()

    stub.queue = [play]
    async with open_engine(stub, token_limit_sec=0.05) as engine:
        with pytest.raises((EngineDead, GenerationFailed)):
            await generate(engine)
        await wait_for(lambda: engine.is_alive)
        assert stub.seen[-1].path == "/completion"


async def test_a_queued_request_waits_while_the_server_generates() -> None:
    """llama-server queues what exceeds its slots, and sends nothing meanwhile."""
    async with open_engine(speaking()) as engine:
        (server,) = engine._servers
        now_sec = asyncio.get_running_loop().time()
        assert server.patience_sec(now_sec - 40.0, now_sec) == pytest.approx(-10.0)
        assert ids_of(await generate(engine)) == SPEECH
        # The other request got a token just now, so the server does not hang.
        assert server.patience_sec(now_sec - 40.0, now_sec) >= 30.0
        assert server.patience_sec(now_sec + 9.0, now_sec + 50.0) < 0.0


async def test_closing_the_generator_closes_the_connection() -> None:
    stub = speaking()
    stub.queue = [dies(SPEECH[:8], gate=asyncio.Event()), hangs]
    async with open_engine(stub) as engine:
        generation = engine.generate(REQUEST)
        assert (await anext(generation)).token_ids == SPEECH[:7]
        assert engine.num_active == 1
        await generation.aclose()
        assert engine.num_active == 0
        await stub.streams[0].response.gone.wait()
        # Also before the head of the response.
        reading = Reading.of(engine)
        await wait_for(lambda: len(stub.streams) == 2)
        await reading.cancel()
        await stub.streams[1].response.gone.wait()
        assert engine.is_alive


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_rejected_request_is_not_the_servers_fault(status: int) -> None:
    first, second = speaking(), speaking()

    async def rejects(stream: Stream) -> None:
        stream.response.json(status, {"error": "no"})

    first.queue = [rejects]
    async with open_engine(first, second) as engine:
        with pytest.raises(GenerationFailed, match=f"rejected the request with status {status}"):
            await generate(engine)
        assert second.streams == []
        assert not any(server.is_suspect for server in engine._servers)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
async def test_a_server_that_answers_with_an_error(status: int) -> None:
    first, second = speaking(), speaking()

    async def fails(stream: Stream) -> None:
        stream.response.json(status, {"error": "no"})

    first.queue = [fails]
    async with open_engine(first, second) as engine:
        assert ids_of(await generate(engine)) == SPEECH
        assert len(second.streams) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_token_ids": (1, 10**7)}, "id outside of the vocabulary"),
        ({"prompt_token_ids": (1, -1)}, "id outside of the vocabulary"),
        ({"prompt_token_ids": ()}, "the prompt is empty"),
        ({"max_tokens": 0}, "max_tokens is less than 1"),
        ({"max_tokens": 2040}, "2049 tokens do not fit into the context of 2048"),
    ],
)
async def test_poison_never_reaches_a_server(changes: dict[str, object], message: str) -> None:
    stub = speaking()
    async with open_engine(stub) as engine:
        with pytest.raises(GenerationFailed, match=message):
            await generate(engine, replace(REQUEST, **changes))  # type: ignore[arg-type]
        assert stub.streams == []
        assert ids_of(await generate(engine)) == SPEECH


async def test_the_smallest_context_applies(logged: pytest.LogCaptureFixture) -> None:
    """`-c 8192 --parallel 8` leaves 1024 tokens each."""
    async with open_engine(speaking(), speaking(context_tokens=1024)) as engine:
        assert engine.max_model_len == 1024
        assert "context lowered from 2048 to 1024 tokens" in logged.text
    async with open_engine(speaking("text", num_added_tokens=1)) as engine:
        assert engine.max_model_len == 2047


@pytest.mark.parametrize("is_killed", [False, True])
async def test_the_end_of_the_engine(is_killed: bool) -> None:
    stub = speaking()
    stub.queue = [dies(SPEECH[:7], gate=asyncio.Event())]
    async with open_engine(stub) as engine:
        reading = Reading.of(engine)
        await wait_for(lambda: len(reading.deltas) == 1)
        if is_killed:
            await asyncio.to_thread(engine.kill)
        else:
            await engine.close()
        with pytest.raises(EngineDead, match="the engine is closed"):
            await reading.task
        assert not engine.is_alive
        assert engine.kv_cache_share == 0.0
        with pytest.raises(EngineNotReady):
            await generate(engine)


async def test_a_second_event_loop() -> None:
    async with open_engine(speaking()) as engine:
        assert ids_of(await generate(engine)) == SPEECH
        with pytest.raises(RuntimeError, match="second event loop"):
            await asyncio.to_thread(lambda: asyncio.run(generate(engine)))


async def test_servers_that_do_not_answer_at_the_start(logged: pytest.LogCaptureFixture) -> None:
    async with speaking().serve() as gone:
        closed = gone.url
    with pytest.raises(StartError, match=r"does not answer \(ConnectError.*Start it, or correct"):
        await build(closed)
    async with open_engine(speaking(), urls=[closed]) as engine:
        assert engine.is_alive
        for _ in range(2):
            assert ids_of(await generate(engine)) == SPEECH
    assert "cannot be used yet" in logged.text

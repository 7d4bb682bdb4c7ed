"""`POST /v1/chat/completions` with OpenAI's SDK and a real uvicorn."""

import asyncio
import base64
import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import SecretStr

from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, EngineDead
from orpheus_server.fakes import ReplyScript, Script, ScriptedChatModel
from orpheus_server.interfaces import ChatMessage
from orpheus_server.settings import Settings
from tests.fuzz.examples import leaves_nothing
from tests.support.app import FakeServer, speech_ids
from tests.support.served import ServedFakes, wait_until

FIRST, SECOND = "Hello there, this is one sentence.", "And this is the second one."
TEXTS = ("Hello", " there, this is", " one sentence. ", "And this", " is the second one.")
TEXT = f"{FIRST} {SECOND}"
USER: ChatCompletionMessageParam = {"role": "user", "content": "Good morning!"}
BOTH: Any = ["text", "audio"]
NUM_BYTES = (27 + 22) * 4096


@contextmanager
def serve(**settings: Any) -> Iterator[ServedFakes]:
    chat = ScriptedChatModel(ReplyScript(TEXTS))
    with ServedFakes(FakeServer(settings=Settings(**settings), chat=chat)) as served:
        yield served


@pytest.fixture(scope="module")
def served() -> Iterator[ServedFakes]:
    with serve() as served:
        yield served


@pytest.fixture(scope="module")
def sdk(served: ServedFakes) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat_of(served: ServedFakes) -> ScriptedChatModel:
    assert isinstance(served.fakes.chat, ScriptedChatModel)
    return served.fakes.chat


def pcm16(voice: str = "alloy") -> Any:
    return {"voice": voice, "format": "pcm16"}


def test_text(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(model="gpt-audio", messages=[USER])
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].message.audio is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_text_without_v1(served: ServedFakes) -> None:
    with OpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk:
        answer = sdk.chat.completions.create(model="scripted", messages=[USER])
    assert answer.choices[0].message.content == TEXT


def test_streamed_text(sdk: OpenAI) -> None:
    options: Any = {"include_usage": True}
    with sdk.chat.completions.create(
        model="gpt-audio", messages=[USER], stream=True, stream_options=options
    ) as stream:
        *chunks, finish, last = list(stream)
    texts = [chunk.choices[0].delta.content for chunk in chunks]
    assert texts == ["", *TEXTS]
    assert finish.choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.total_tokens == 10


def test_a_file(sdk: OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model="gpt-audio",
        messages=[USER],
        modalities=BOTH,
        audio={"voice": "alloy", "format": "wav"},
    )
    audio = answer.choices[0].message.audio
    assert audio is not None
    assert audio.transcript == TEXT
    data = base64.b64decode(audio.data)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert 2 * file.getnframes() == NUM_BYTES == len(data) - 44


def test_streamed_audio_and_a_follow_up(served: ServedFakes, sdk: OpenAI) -> None:
    whole = sdk.chat.completions.create(
        model="gpt-audio", messages=[USER], modalities=BOTH, audio=pcm16(), seed=5
    )
    assert whole.choices[0].message.audio is not None
    text, data, audio_id = "", b"", ""
    for chunk in sdk.chat.completions.create(
        model="gpt-audio",
        messages=[USER],
        modalities=BOTH,
        audio=pcm16(),
        seed=5,
        stream=True,
    ):
        audio = chunk.choices[0].delta.audio
        if audio is not None:
            audio_id = audio.id or audio_id
            text += audio.transcript or ""
            data += base64.b64decode(audio.data or "")
    assert text == TEXT
    assert data == base64.b64decode(whole.choices[0].message.audio.data)
    assert len(data) == NUM_BYTES
    said: ChatCompletionMessageParam = {"role": "assistant", "audio": {"id": audio_id}}
    sdk.chat.completions.create(model="gpt-audio", messages=[USER, said, USER])
    assert chat_of(served).requests[-1].messages[1] == ChatMessage("assistant", TEXT)


def test_an_answer_sent_back_as_history(served: ServedFakes, sdk: OpenAI) -> None:
    """Programs append the whole message to their history, including its audio."""
    answer = sdk.chat.completions.create(
        model="gpt-audio", messages=[USER], modalities=BOTH, audio=pcm16()
    )
    said: Any = answer.choices[0].message.to_dict()
    sdk.chat.completions.create(model="gpt-audio", messages=[USER, said, USER])
    assert chat_of(served).requests[-1].messages[1] == ChatMessage("assistant", TEXT)


def test_the_stream_helper_of_the_sdk(sdk: OpenAI) -> None:
    """It reads every key of every delta."""
    with sdk.chat.completions.stream(model="gpt-audio", messages=[USER]) as stream:
        assert stream.get_final_completion().choices[0].message.content == TEXT


def test_the_final_audio_of_the_stream_helper(served: ServedFakes, sdk: OpenAI) -> None:
    """It joins the strings of all deltas: each had a padding, so most of the audio was lost."""
    fields: Any = {"messages": [USER], "modalities": BOTH, "audio": pcm16(), "seed": 5}
    whole = sdk.chat.completions.create(model="gpt-audio", **fields).choices[0].message.audio
    assert whole is not None
    with sdk.chat.completions.stream(model="gpt-audio", **fields) as stream:
        message = stream.get_final_completion().choices[0].message
    audio = message.audio
    assert audio is not None
    data = base64.b64decode(audio.data, validate=True)
    assert (audio.transcript, len(data)) == (TEXT, NUM_BYTES)
    assert data == base64.b64decode(whole.data)
    said: Any = message.to_dict()
    sdk.chat.completions.create(model="gpt-audio", messages=[USER, said, USER])
    assert chat_of(served).requests[-1].messages[1] == ChatMessage("assistant", TEXT)
    said["content"] = ""
    sdk.chat.completions.create(model="gpt-audio", messages=[USER, said, USER])
    assert chat_of(served).requests[-1].messages[1] == ChatMessage("assistant", TEXT)


def test_the_final_audio_of_nothing_to_speak(served: ServedFakes, sdk: OpenAI) -> None:
    chat_of(served).enqueue(ReplyScript(("...",)))
    with sdk.chat.completions.stream(
        model="gpt-audio", messages=[USER], modalities=BOTH, audio=pcm16()
    ) as stream:
        audio = stream.get_final_completion().choices[0].message.audio
    assert audio is not None
    assert (audio.transcript, base64.b64decode(audio.data)) == ("...", bytes(9600))


@pytest.mark.parametrize(
    ("kind", "code", "fields"),
    [
        (NotFoundError, "model_not_found", {"model": "gpt-4"}),
        (BadRequestError, "unsupported_value", {"n": 2}),
        (BadRequestError, "missing_required_parameter", {"modalities": BOTH}),
        (BadRequestError, "voice_not_found", {"modalities": BOTH, "audio": pcm16("nobody")}),
        (
            BadRequestError,
            "audio_not_found",
            {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}, USER]},
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_the_client(
    sdk: OpenAI, kind: type[APIStatusError], code: str, fields: dict[str, Any], stream: bool
) -> None:
    with pytest.raises(kind) as failed:
        sdk.chat.completions.create(
            **{"model": "gpt-audio", "messages": [USER], "stream": stream, **fields}
        )
    assert failed.value.code == code
    assert failed.value.request_id is not None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", [ChatModelFailed("it broke"), ChatModelUnavailable("it is away")])
def test_errors_of_the_server(
    served: ServedFakes, sdk: OpenAI, error: Exception, stream: bool
) -> None:
    chat_of(served).enqueue(ReplyScript((), error=error))
    with pytest.raises(InternalServerError, match=str(error)):
        sdk.chat.completions.create(model="gpt-audio", messages=[USER], stream=stream)


def test_a_wrong_key_and_too_many_requests() -> None:
    keys = SecretStr("anna:key-of-anna")
    with serve(api_keys=keys, tts_max_requests_per_key=1) as served:
        gate = served.run(new_event())
        chat_of(served).enqueue(ReplyScript(TEXTS, gate=gate, gate_at=1))
        with (
            OpenAI(base_url=served.url, api_key="wrong", max_retries=0) as stranger,
            pytest.raises(AuthenticationError),
        ):
            stranger.chat.completions.create(model="gpt-audio", messages=[USER])
        with OpenAI(base_url=served.url, api_key="key-of-anna", max_retries=0) as sdk:
            stream = sdk.chat.completions.create(model="gpt-audio", messages=[USER], stream=True)
            with pytest.raises(RateLimitError):
                sdk.chat.completions.create(model="gpt-audio", messages=[USER])
            served.run(set_event(gate))
            assert len(list(stream)) == 7


@pytest.mark.parametrize("speaks", [False, True])
def test_a_failure_in_the_middle_is_raised(served: ServedFakes, sdk: OpenAI, speaks: bool) -> None:
    """A stream that simply ends would look like a short answer."""
    chat_of(served).enqueue(ReplyScript(TEXTS[:4], error=ChatModelFailed("it broke")))
    fields: Any = {"modalities": BOTH, "audio": pcm16()} if speaks else {}
    received: list[ChatCompletionChunk] = []
    stream: Any = sdk.chat.completions.create(
        model="gpt-audio", messages=[USER], stream=True, **fields
    )
    with pytest.raises(APIError, match="it broke") as failed:
        received.extend(stream)
    assert failed.value.code == "llm_failed"


def test_a_speech_engine_that_dies_in_the_middle_is_raised() -> None:
    dying = Script(speech_ids(27), error=EngineDead("the speech engine has died"), fail_at=140)
    received: list[ChatCompletionChunk] = []
    with (
        serve() as served,
        OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as sdk,
    ):
        served.fakes.engine.enqueue(dying)
        stream = sdk.chat.completions.create(
            model="gpt-audio", messages=[USER], modalities=BOTH, audio=pcm16(), stream=True
        )
        with pytest.raises(APIError, match="the speech engine has died"):
            received.extend(stream)
    assert any(chunk.choices[0].delta.audio for chunk in received)


@pytest.mark.parametrize("speaks", [False, True])
def test_a_disconnect_in_the_middle_releases_everything(served: ServedFakes, speaks: bool) -> None:
    gate = served.run(new_event())
    chat, engine = chat_of(served), served.fakes.engine
    num_aborted = chat.num_aborted
    chat.enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))
    if speaks:
        engine.enqueue(Script(speech_ids(12), hangs_at_end=True))
    fields: Any = {"modalities": BOTH, "audio": pcm16()} if speaks else {}
    with leaves_nothing(served):
        with (
            OpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk,
            sdk.chat.completions.create(
                model="gpt-audio", messages=[USER], stream=True, **fields
            ) as stream,
        ):
            for _ in range(6 if speaks else 3):
                next(stream)
            assert chat.num_active == 1
            assert engine.num_active == speaks
        wait_until(lambda: (chat.num_active, engine.num_active) == (0, 0))
    assert chat.num_aborted == num_aborted + 1


def test_the_first_sentence_is_sent_while_the_second_is_written(served: ServedFakes) -> None:
    """With the SDK's asynchronous client."""
    gate = served.run(new_event())
    chat_of(served).enqueue(ReplyScript(TEXTS, gate=gate, gate_at=4))

    async def listen() -> int:
        num_bytes = 0
        async with AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0) as sdk:
            async for chunk in await sdk.chat.completions.create(
                model="gpt-audio", messages=[USER], modalities=BOTH, audio=pcm16(), stream=True
            ):
                audio = chunk.choices[0].delta.audio
                num_bytes += len(base64.b64decode(audio.data or "")) if audio else 0
                if num_bytes == 27 * 4096 and not gate.is_set():
                    assert chat_of(served).num_active == 1
                    await asyncio.to_thread(served.run, set_event(gate))
        return num_bytes

    assert asyncio.run(listen()) == NUM_BYTES


async def new_event() -> asyncio.Event:
    return asyncio.Event()


async def set_event(event: asyncio.Event) -> None:
    event.set()

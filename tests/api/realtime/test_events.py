"""The events on the wire: which are accepted, and exactly how they are sent."""

import pytest
from pydantic import BaseModel, ValidationError

from orpheus_server.api.realtime.events import (
    CLIENT_EVENT,
    AudioDone,
    AudioStart,
    Cancel,
    ChunkStart,
    ErrorEvent,
    HistoryMessage,
    SessionStart,
    SessionStarted,
    TextDelta,
    TextDone,
    TextFlush,
    TranscriptDelta,
    TranscriptDone,
    TranscriptTruncated,
    UserMessage,
    chat_usage_of,
)
from orpheus_server.api.schemas.speech_events import (
    SpeechAudioDelta,
    SpeechAudioDone,
    Usage,
    usage_of,
)
from orpheus_server.chat.reply import ReplyStats
from orpheus_server.server.errors import ErrorBody
from orpheus_server.synthesis.job import SpeechStats

USAGE = Usage(input_tokens=14, output_tokens=101, total_tokens=115)


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ('{"type": "session.start"}', SessionStart(type="session.start")),
        (
            '{"voice": {"id": "slt", "more": 1}, "type": "session.start", "speed": 2, "seed": 7}',
            SessionStart.model_validate(
                {"type": "session.start", "voice": {"id": "slt"}, "speed": 2.0, "seed": 7}
            ),
        ),
        ('{"type": "text.delta", "text": "Hel"}', TextDelta(type="text.delta", text="Hel")),
        ('{"type": "text.delta", "text": ""}', TextDelta(type="text.delta", text="")),
        ('{"type": "text.flush"}', TextFlush(type="text.flush")),
        ('{"type": "text.done", "more": [1]}', TextDone(type="text.done")),
        ('{"type": "cancel"}', Cancel(type="cancel")),
        ('{"type": "cancel", "played_ms": 7}', Cancel(type="cancel", played_ms=7.0)),
        ('{"type": "chat.message", "text": ""}', UserMessage(type="chat.message", text="")),
        (
            '{"type": "chat.message", "text": "Hi", "max_tokens": 1, "temperature": 0, "top_p": 1,'
            ' "seed": -1, "played_ms": 0.5, "more": 1}',
            UserMessage(
                type="chat.message",
                text="Hi",
                max_tokens=1,
                temperature=0.0,
                top_p=1.0,
                seed=-1,
                played_ms=0.5,
            ),
        ),
        (
            '{"type": "session.start", "history": [{"role": "user", "content": "a", "name": "b"}],'
            ' "system_prompt": "c"}',
            SessionStart(
                type="session.start",
                history=[HistoryMessage(role="user", content="a")],
                system_prompt="c",
            ),
        ),
    ],
)
def test_accepted_events(message: str, event: BaseModel) -> None:
    assert CLIENT_EVENT.validate_json(message) == event


@pytest.mark.parametrize(
    "message",
    [
        "",
        "null",
        "[]",
        '"cancel"',
        "{}",
        '{"type": null}',
        '{"type": "stop"}',
        '{"type": "Cancel"}',
        '{"type": "text.delta"}',
        '{"type": "text.delta", "text": null}',
        '{"type": "text.delta", "text": 5}',
        '{"type": "text.delta", "text": "\\ud800"}',
        '{"type": "session.start", "speed": "1"}',
        '{"type": "session.start", "temperature": NaN}',
        '{"type": "cancel"} {"type": "cancel"}',
        '{"type": "cancel", "played_ms": -1}',
        '{"type": "cancel", "played_ms": "1"}',
        '{"type": "chat.message"}',
        '{"type": "chat.message", "text": "a", "max_tokens": 0}',
        '{"type": "chat.message", "text": "a", "temperature": 3}',
        '{"type": "session.start", "history": [{"role": "tool", "content": "a"}]}',
        '{"type": "session.start", "history": {}}',
        '{"a":' * 10_000,
    ],
    ids=lambda message: message[:30],
)
def test_rejected_events(message: str) -> None:
    with pytest.raises(ValidationError):
        CLIENT_EVENT.validate_json(message)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (SpeechAudioDelta(audio="AAA="), '{"type":"speech.audio.delta","audio":"AAA="}'),
        (
            SpeechAudioDone(usage=USAGE, degraded_chunks=[1]),
            '{"type":"speech.audio.done","usage":'
            '{"input_tokens":14,"output_tokens":101,"total_tokens":115},"degraded_chunks":[1]}',
        ),
        (
            SessionStarted(
                session_id="req_1",
                voice="leo",
                response_format="pcm",
                sample_rate=24_000,
                ignored_fields=["instructions"],
            ),
            '{"type":"session.started","session_id":"req_1","voice":"leo",'
            '"response_format":"pcm","sample_rate":24000,"ignored_fields":["instructions"]}',
        ),
        (AudioStart(utterance=3), '{"type":"audio.start","utterance":3}'),
        (
            ChunkStart(utterance=3, chunk=1, text="Né, ça?", start_sample=2048),
            '{"type":"chunk.start","utterance":3,"chunk":1,"text":"Né, ça?","start_sample":2048}',
        ),
        (
            AudioDone(
                utterance=3,
                usage=USAGE,
                num_samples=9,
                degraded_chunks=[],
                num_left_out=2,
                is_cancelled=True,
            ),
            '{"type":"audio.done","utterance":3,"usage":'
            '{"input_tokens":14,"output_tokens":101,"total_tokens":115},'
            '"num_samples":9,"degraded_chunks":[],"num_left_out":2,"is_cancelled":true}',
        ),
        (
            TranscriptDelta(utterance=3, text=" ça"),
            '{"type":"transcript.delta","utterance":3,"text":" ça"}',
        ),
        (
            TranscriptDone(utterance=3, text="Né, ça?", finish_reason="length", usage=USAGE),
            '{"type":"transcript.done","utterance":3,"text":"Né, ça?","finish_reason":"length",'
            '"usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}',
        ),
        (
            TranscriptTruncated(utterance=3, text="Né,"),
            '{"type":"transcript.truncated","utterance":3,"text":"Né,"}',
        ),
        (
            ErrorEvent(error=ErrorBody(message="no", type="server_error", param=None, code="c")),
            '{"type":"error","utterance":null,"error":'
            '{"message":"no","type":"server_error","param":null,"code":"c"}}',
        ),
    ],
)
def test_sent_events(event: BaseModel, message: str) -> None:
    assert event.model_dump_json() == message


def test_usage_counts_the_text_and_all_attempts() -> None:
    stats = SpeechStats(num_chunks=2, num_attempts=3, num_prompt_tokens=14, num_output_tokens=101)
    assert usage_of(stats) == USAGE


def test_usage_of_a_language_model() -> None:
    assert chat_usage_of(ReplyStats(num_prompt_tokens=14, num_tokens=101)) == USAGE

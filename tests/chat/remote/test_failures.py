"""Errors of the language model's server, translated."""

from datetime import UTC, datetime

import pytest

from orpheus_server.chat.remote.failures import RemoteError, error_for, retry_after_sec
from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, RequestError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 10),
        ("", 10),
        ("soon", 10),
        ("nan", 10),
        ("inf", 120),
        ("-5", 1),
        ("0", 1),
        ("1.5", 2),
        ("30", 30),
        ("86400", 120),
        ("Thu, 01 Jan 2026 12:00:20 GMT", 20),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 1),
        ("Thu, 01 Jan 2026 12:00:20", 20),
        ("Fri, 02 Jan 2026 12:00:00 GMT", 120),
    ],
)
def test_retry_after(header: str | None, seconds: int) -> None:
    assert retry_after_sec(header, NOW) == seconds


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (None, "status 403"),
        ("model_not_found", "status 403, code model_not_found"),
        ("403", "status 403"),
        ("sk-abcdef", "status 403"),
        ("a sentence", "status 403"),
        ("x" * 41, "status 403"),
    ],
)
def test_only_a_single_word_is_shown(code: str | None, named: str) -> None:
    assert RemoteError(403, code).named == named


@pytest.mark.parametrize(
    ("remote_error", "is_too_long"),
    [
        (RemoteError(400, "context_length_exceeded"), True),
        (RemoteError(0, "context_length_exceeded"), True),
        (RemoteError(400, text="this model's maximum context length is 2048 tokens"), True),
        (RemoteError(400, text="exceeds the available context size"), True),
        (RemoteError(413, text="the context window is full"), True),
        (RemoteError(400, text="{'type': 'exceed_context_size_error'}"), True),
        (RemoteError(400, text="no context"), False),
        (RemoteError(401, text="context length"), False),
        (RemoteError(429, text="context length"), False),
    ],
)
def test_too_long(remote_error: RemoteError, is_too_long: bool) -> None:
    assert remote_error.is_too_long is is_too_long


@pytest.mark.parametrize(
    ("remote_error", "is_too_large"),
    [
        (RemoteError(400, "400", "max_tokens", "max_tokens=9 cannot be greater than 8"), True),
        (RemoteError(400, None, None, "'max_tokens' is too large: 9"), True),
        (RemoteError(422, None, None, "max_completion_tokens must be at most 8"), True),
        (
            RemoteError(400, "unsupported_parameter", "max_tokens", "use 'max_completion_tokens'"),
            False,
        ),
        (RemoteError(400, None, "temperature", "temperature is too high; max_tokens"), False),
        (RemoteError(500, None, "max_tokens", "too large"), False),
    ],
)
def test_a_limit_that_is_too_large(remote_error: RemoteError, is_too_large: bool) -> None:
    assert remote_error.is_limit_too_large is is_too_large


def test_errors_for_callers() -> None:
    away = error_for(RemoteError(429, "insufficient_quota", retry_after="20"))
    assert isinstance(away, ChatModelUnavailable)
    assert away.retry_after_sec == 20
    assert str(away) == (
        "The language model's server is full or unavailable: status 429, code insufficient_quota."
    )
    dated = error_for(RemoteError(503, retry_after="Thu, 01 Jan 2026 12:00:20 GMT"), now=NOW)
    assert isinstance(dated, ChatModelUnavailable)
    assert dated.retry_after_sec == 20
    assert type(error_for(RemoteError(500))) is ChatModelFailed
    assert type(error_for(RemoteError(418))) is ChatModelFailed
    assert type(error_for(RemoteError(0, "boom"))) is ChatModelFailed
    assert isinstance(error_for(RemoteError(400, "context_length_exceeded")), RequestError)

"""Checks error responses: OpenAI's envelope, a request id, and Retry-After on refusals."""

import json
from collections.abc import Mapping
from typing import Any

REFUSALS = (429, 503)
"""Statuses that ask the caller to retry later; they do not count as failures."""

REFUSAL_TYPES = ("service_unavailable_error", "rate_limit_error")
"""The corresponding error types of events, which have no status."""

MAX_RETRY_AFTER_SEC = 120


def defect(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """Returns the defect of an error response, or None. Header names are in lower case."""
    if not _is_envelope(body):
        return f"{status} without an error in OpenAI's envelope"
    if not headers.get("x-request-id"):
        return f"{status} without x-request-id"
    if status in REFUSALS and retry_after_sec(headers) is None:
        return f"{status} with Retry-After {headers.get('retry-after', 'missing')[:20]!r}"
    return None


def retry_after_sec(headers: Mapping[str, str]) -> int | None:
    """Returns whole seconds from 1 to MAX_RETRY_AFTER_SEC, or None for anything else."""
    text = headers.get("retry-after", "")
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        return None
    seconds = int(text)
    return seconds if 1 <= seconds <= MAX_RETRY_AFTER_SEC else None


def is_refusal_event(error: Any) -> bool:
    """True for the error of an event that asks the caller to retry later."""
    return isinstance(error, dict) and error.get("type") in REFUSAL_TYPES


def _is_envelope(body: bytes) -> bool:
    try:
        error = json.loads(body)["error"]
        message, kind, param, code = (error[name] for name in ("message", "type", "param", "code"))
    except (ValueError, LookupError, TypeError):
        return False
    texts = isinstance(message, str) and isinstance(kind, str)
    return texts and bool(message and kind) and _is_text_or_null(param) and _is_text_or_null(code)


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)

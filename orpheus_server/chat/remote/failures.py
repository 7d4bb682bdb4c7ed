"""Translates errors of the language model's server into errors for the caller."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, OrpheusError, RequestError

# Full, loading, or not reachable through a proxy: worth a retry.
_UNAVAILABLE_STATUSES = {429, 502, 503, 504}
_DEFAULT_RETRY_SEC, _MAX_RETRY_SEC = 10, 120

# What callers may see: a single word, not a sentence that may quote a prompt or a key.
_CODE = re.compile(r"[a-z][a-z_]{1,39}")

# As vLLM, llama.cpp and others word it, which have no code for it.
_TOO_LONG = re.compile(r"context (length|size|window)|exceed_context_size_error")
_MAY_BE_TOO_LONG = {400, 413, 422, 500}
_TOO_MANY = re.compile(
    r"too (large|high|big)|(greater|larger) than|exceed|at most|less than or equal"
)


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Status, code and parameter as the server sent them; the status is 0 inside a stream.

    `text` is the whole error in lower case. It may quote the prompt or the key, so it is only
    searched and never logged or passed on.
    """

    status: int
    code: str | None = None
    param: str | None = None
    text: str = ""
    retry_after: str | None = None

    @property
    def is_too_long(self) -> bool:
        """True if the conversation does not fit into the model's context."""
        if self.code == "context_length_exceeded":
            return True
        return self.status in (0, *_MAY_BE_TOO_LONG) and _TOO_LONG.search(self.text) is not None

    @property
    def is_limit_too_large(self) -> bool:
        """True if the requested token limit exceeds what the model allows."""
        names_limit = re.search("max_(completion_)?tokens", self.param or self.text) is not None
        return self.status in (400, 422) and names_limit and bool(_TOO_MANY.search(self.text))

    @property
    def named(self) -> str:
        """Describes the error for callers, such as `status 401, code invalid_api_key`."""
        parts = [f"status {self.status}"] if self.status else []
        if self.code is not None and _CODE.fullmatch(self.code):
            parts.append(f"code {self.code}")
        return ", ".join(parts)


def error_for(remote_error: RemoteError, *, now: datetime | None = None) -> OrpheusError:
    """Returns the error for the caller."""
    if remote_error.is_too_long:
        return RequestError(
            "The conversation does not fit into the language model's context.",
            param="messages",
            code="context_length_exceeded",
        )
    if remote_error.status == 0:
        named = f": {remote_error.named}" if remote_error.named else ""
        return ChatModelFailed(f"The language model stopped with an error{named}.")
    if remote_error.status in _UNAVAILABLE_STATUSES:
        return ChatModelUnavailable(
            f"The language model's server is full or unavailable: {remote_error.named}.",
            retry_after_sec=retry_after_sec(remote_error.retry_after, now or datetime.now(UTC)),
        )
    verb = "failed" if remote_error.status >= 500 else "rejected the request"
    return ChatModelFailed(f"The language model's server {verb}: {remote_error.named}.")


def retry_after_sec(header: str | None, now: datetime) -> int:
    """Returns the seconds of a `Retry-After` (number or date), between 1 and 120; 10 if absent."""
    try:
        seconds = float(header or "")
    except ValueError:
        try:
            until = parsedate_to_datetime(header or "")
        except ValueError:
            return _DEFAULT_RETRY_SEC
        seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
    if math.isnan(seconds):
        return _DEFAULT_RETRY_SEC
    return math.ceil(min(max(seconds, 1.0), _MAX_RETRY_SEC))

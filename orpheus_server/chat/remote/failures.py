"""What an error of the language model's server means for our caller."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from orpheus_server.errors import ChatModelFailed, ChatModelUnavailable, OrpheusError, RequestError

# Full, being loaded, or a proxy that does not find it: worth another try.
_UNAVAILABLE_STATUSES = {429, 502, 503, 504}
_DEFAULT_RETRY_SEC, _MAX_RETRY_SEC = 10, 120

# What may be told to callers: a word, not a sentence that quotes a prompt or a key.
_CODE = re.compile(r"[a-z][a-z_]{1,39}")

# In the words of vLLM, llama.cpp and others, which have no code for it.
_TOO_LONG = re.compile(r"context (length|size|window)|exceed_context_size_error")
_MAY_BE_TOO_LONG = {400, 413, 422, 500}
_TOO_MANY = re.compile(
    r"too (large|high|big)|(greater|larger) than|exceed|at most|less than or equal"
)


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Status, code and parameter as the server named them; 0 within a stream.

    `text` is all that it said, in lower case. It may quote the prompt or the key: it is looked at,
    and never logged or passed on.
    """

    status: int
    code: str | None = None
    param: str | None = None
    text: str = ""
    retry_after: str | None = None

    @property
    def is_too_long(self) -> bool:
        """True if the model has no room for the conversation."""
        if self.code == "context_length_exceeded":
            return True
        return self.status in (0, *_MAY_BE_TOO_LONG) and _TOO_LONG.search(self.text) is not None

    @property
    def is_limit_too_large(self) -> bool:
        """True if the model writes no answer of as many tokens as were asked for at most."""
        names_limit = re.search("max_(completion_)?tokens", self.param or self.text) is not None
        return self.status in (400, 422) and names_limit and bool(_TOO_MANY.search(self.text))

    @property
    def named(self) -> str:
        """`status 401, code invalid_api_key`, without what may not be told."""
        parts = [f"status {self.status}"] if self.status else []
        if self.code is not None and _CODE.fullmatch(self.code):
            parts.append(f"code {self.code}")
        return ", ".join(parts)


def error_for(remote_error: RemoteError, *, now: datetime | None = None) -> OrpheusError:
    """What our caller is told."""
    if remote_error.is_too_long:
        return RequestError(
            "The conversation is longer than the language model has room for.",
            param="messages",
            code="context_length_exceeded",
        )
    if remote_error.status == 0:
        named = f": {remote_error.named}" if remote_error.named else ""
        return ChatModelFailed(f"The language model broke off with an error{named}.")
    if remote_error.status in _UNAVAILABLE_STATUSES:
        return ChatModelUnavailable(
            f"The language model's server is full or away: {remote_error.named}.",
            retry_after_sec=retry_after_sec(remote_error.retry_after, now or datetime.now(UTC)),
        )
    verb = "failed" if remote_error.status >= 500 else "refused the request"
    return ChatModelFailed(f"The language model's server {verb}: {remote_error.named}.")


def retry_after_sec(header: str | None, now: datetime) -> int:
    """Seconds of a `Retry-After`, a number or a date; within 1 to 120, and 10 for none."""
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

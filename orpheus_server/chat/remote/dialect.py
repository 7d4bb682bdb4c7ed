"""Differences between servers with OpenAI's API, learned from the requests they reject."""

from dataclasses import dataclass, replace
from typing import Literal

from orpheus_server.chat.remote.failures import RemoteError

_MAY_FIT = {400, 422}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server accepts. Most accept `max_tokens`; OpenAI's newer models reject it.

    Chat templates without a system role, such as Gemma's, may be behind vLLM or llama.cpp.
    """

    reports_usage: bool = True
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    has_system_role: bool = True

    def joined(self, other: "Dialect") -> "Dialect":
        """Combines what is known about a server."""
        is_plain = self.token_limit == other.token_limit == "max_tokens"
        return Dialect(
            reports_usage=self.reports_usage and other.reports_usage,
            token_limit="max_tokens" if is_plain else "max_completion_tokens",
            has_system_role=self.has_system_role and other.has_system_role,
        )


def fitted(dialect: Dialect, remote_error: RemoteError) -> Dialect | None:
    """Returns the dialect that avoids the error, or None. A dialect never changes back."""
    text, can_fit = remote_error.text, remote_error.status in _MAY_FIT
    if remote_error.is_too_long:
        return None
    names_usage = "stream_options" in text or "include_usage" in text
    if dialect.reports_usage and can_fit and names_usage:
        return replace(dialect, reports_usage=False)
    if dialect.token_limit == "max_tokens" and can_fit and _refuses_max_tokens(remote_error):
        return replace(dialect, token_limit="max_completion_tokens")
    # Some servers report a template error as 500.
    names_roles = "role" in text and ("system" in text or "alternate" in text)
    if dialect.has_system_role and (can_fit or remote_error.status == 500) and names_roles:
        return replace(dialect, has_system_role=False)
    return None


def _refuses_max_tokens(remote_error: RemoteError) -> bool:
    """Returns whether the parameter itself is rejected, not its value."""
    if "max_tokens" not in (remote_error.param or remote_error.text):
        return False
    return remote_error.code == "unsupported_parameter" or any(
        words in remote_error.text
        for words in ("not supported", "unsupported", "use 'max_completion")
    )

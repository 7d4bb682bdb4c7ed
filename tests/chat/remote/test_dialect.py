"""Differences between servers, learned from the requests they reject."""

import itertools
from dataclasses import replace

import pytest

from orpheus_server.chat.remote.dialect import Dialect, fitted
from orpheus_server.chat.remote.failures import RemoteError

NO_USAGE = Dialect(reports_usage=False)
NEW_LIMIT = Dialect(token_limit="max_completion_tokens")
NO_SYSTEM = Dialect(has_system_role=False)
ALL = [
    replace(dialect, reports_usage=reports_usage, has_system_role=has_system_role)
    for dialect in (Dialect(), NEW_LIMIT)
    for reports_usage in (True, False)
    for has_system_role in (True, False)
]

USE_OTHER = "unsupported parameter: 'max_tokens' is not supported with this model. use 'max_"


@pytest.mark.parametrize(
    ("remote_error", "dialect"),
    [
        (RemoteError(400, text="unknown field stream_options"), NO_USAGE),
        (RemoteError(422, text="{'loc': ['body', 'stream_options', 'include_usage']}"), NO_USAGE),
        (RemoteError(400, "unsupported_parameter", "max_tokens", "no"), NEW_LIMIT),
        (RemoteError(400, None, None, USE_OTHER + "completion_tokens' instead."), NEW_LIMIT),
        (RemoteError(400, text="system role not supported"), NO_SYSTEM),
        (RemoteError(500, text="jinja exception: system role not supported"), NO_SYSTEM),
        (
            RemoteError(
                400, text="conversation roles must alternate user/assistant/user/assistant"
            ),
            NO_SYSTEM,
        ),
        (RemoteError(400, text="temperature is not supported"), None),
        # A number that is too large, as two servers word it.
        (RemoteError(400, "invalid_value", "max_tokens", "max_tokens is too large: 9000"), None),
        (
            RemoteError(
                400,
                "400",
                None,
                "'max_tokens' or 'max_completion_tokens' is too large: this model's maximum "
                "context length is 2048 tokens",
            ),
            None,
        ),
        (RemoteError(401, text="stream_options, max_tokens not supported, system role"), None),
        (RemoteError(500, text="stream_options"), None),
    ],
)
def test_the_dialect_that_avoids_an_error(
    remote_error: RemoteError, dialect: Dialect | None
) -> None:
    assert fitted(Dialect(), remote_error) == dialect


@pytest.mark.parametrize("dialect", ALL)
def test_no_step_is_taken_twice(dialect: Dialect) -> None:
    """Otherwise requests to a server that rejects everything would never end."""
    everything = RemoteError(
        400, "unsupported_parameter", "max_tokens", "stream_options max_tokens system role"
    )
    steps = [dialect]
    while (following := fitted(steps[-1], everything)) is not None:
        steps.append(following)
    odd = (dialect.reports_usage, dialect.token_limit == "max_tokens", dialect.has_system_role)
    assert len(steps) == 1 + sum(odd)


def test_joined() -> None:
    for one, other in itertools.product(ALL, ALL):
        joined = one.joined(other)
        assert joined == other.joined(one)
        assert joined.joined(one) == joined
    assert NO_USAGE.joined(NEW_LIMIT).joined(NO_SYSTEM) == Dialect(
        reports_usage=False, token_limit="max_completion_tokens", has_system_role=False
    )
    assert Dialect().joined(Dialect()) == Dialect()

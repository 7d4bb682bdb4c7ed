"""How servers differ, found out by what they refuse."""

import itertools
from dataclasses import replace

import pytest

from orpheus_server.chat.remote.dialect import Dialect, fitted
from orpheus_server.chat.remote.failures import Refusal

NO_USAGE = Dialect(tells_usage=False)
NEW_LIMIT = Dialect(token_limit="max_completion_tokens")
NO_SYSTEM = Dialect(has_system_role=False)
ALL = [
    replace(dialect, tells_usage=tells_usage, has_system_role=has_system_role)
    for dialect in (Dialect(), NEW_LIMIT)
    for tells_usage in (True, False)
    for has_system_role in (True, False)
]

USE_OTHER = "unsupported parameter: 'max_tokens' is not supported with this model. use 'max_"


@pytest.mark.parametrize(
    ("refusal", "dialect"),
    [
        (Refusal(400, text="unknown field stream_options"), NO_USAGE),
        (Refusal(422, text="{'loc': ['body', 'stream_options', 'include_usage']}"), NO_USAGE),
        (Refusal(400, "unsupported_parameter", "max_tokens", "no"), NEW_LIMIT),
        (Refusal(400, None, None, USE_OTHER + "completion_tokens' instead."), NEW_LIMIT),
        (Refusal(400, text="system role not supported"), NO_SYSTEM),
        (Refusal(500, text="jinja exception: system role not supported"), NO_SYSTEM),
        (
            Refusal(400, text="conversation roles must alternate user/assistant/user/assistant"),
            NO_SYSTEM,
        ),
        (Refusal(400, text="temperature is not supported"), None),
        # Numbers that are too large, in the words of two servers.
        (Refusal(400, "invalid_value", "max_tokens", "max_tokens is too large: 9000"), None),
        (
            Refusal(
                400,
                "400",
                None,
                "'max_tokens' or 'max_completion_tokens' is too large: this model's maximum "
                "context length is 2048 tokens",
            ),
            None,
        ),
        (Refusal(401, text="stream_options, max_tokens not supported, system role"), None),
        (Refusal(500, text="stream_options"), None),
    ],
)
def test_what_avoids_the_refusal(refusal: Refusal, dialect: Dialect | None) -> None:
    assert fitted(Dialect(), refusal) == dialect


@pytest.mark.parametrize("dialect", ALL)
def test_no_step_is_taken_twice(dialect: Dialect) -> None:
    """Else a server that refuses everything would be asked for ever."""
    everything = Refusal(
        400, "unsupported_parameter", "max_tokens", "stream_options max_tokens system role"
    )
    steps = [dialect]
    while (following := fitted(steps[-1], everything)) is not None:
        steps.append(following)
    odd = (dialect.tells_usage, dialect.token_limit == "max_tokens", dialect.has_system_role)
    assert len(steps) == 1 + sum(odd)


def test_joined() -> None:
    for one, other in itertools.product(ALL, ALL):
        joined = one.joined(other)
        assert joined == other.joined(one)
        assert joined.joined(one) == joined
    assert NO_USAGE.joined(NEW_LIMIT).joined(NO_SYSTEM) == Dialect(
        tells_usage=False, token_limit="max_completion_tokens", has_system_role=False
    )
    assert Dialect().joined(Dialect()) == Dialect()

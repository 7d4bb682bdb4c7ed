"""Messages for a language model: their order, their length in tokens, and which of them fit."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage

_JOINT = "\n\n"

GREET, CONTINUE = "Hello.", "Please continue."
"""The user's turn of a conversation that nobody has begun, or that ends with the assistant."""


def arrange(
    messages: Sequence[ChatMessage], *, default_system: str | None
) -> tuple[ChatMessage, ...]:
    """Returns the messages as every chat template accepts them: system, then alternating turns.

    System messages are merged into one, which replaces the default. Consecutive turns of one role,
    which templates like Gemma's reject, are merged too, and empty messages are dropped. Many
    templates and hosted models require that the user has the last turn: if not, one is added.
    """
    said = [_encodable(message) for message in messages if message.content.strip()]
    own_system = [message.content for message in said if message.role == "system"]
    # Joined once per group: appending a hundred thousand messages one by one takes minutes.
    spoken = (message for message in said if message.role != "system")
    turns = [
        ChatMessage(role, _JOINT.join(message.content for message in group))
        for role, group in groupby(spoken, key=attrgetter("role"))
    ]
    if not turns or turns[-1].role != "user":
        turns.append(ChatMessage("user", CONTINUE if turns else GREET))
    system = _JOINT.join(own_system) or default_system
    return (ChatMessage("system", system), *turns) if system else tuple(turns)


def _encodable(message: ChatMessage) -> ChatMessage:
    # JSON can hold lone surrogates, which tokenizers reject.
    content = message.content.encode(errors="replace").decode()
    return message if content == message.content else ChatMessage(message.role, content)


def fold_system(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """Moves the system message into the first user turn, for templates without a system role.

    Such templates (Gemma's, for example) start with the user. If the assistant has the first turn,
    the system message becomes a user turn before it; without one, the assistant's turn is dropped.
    """
    if not messages or messages[0].role == "user":
        return tuple(messages)
    if messages[0].role == "assistant":
        return tuple(messages[1:])
    system, *turns = messages
    if turns and turns[0].role == "user":
        first = ChatMessage("user", system.content + _JOINT + turns[0].content)
        return (first, *turns[1:])
    return (ChatMessage("user", system.content), *turns)


def trim(
    messages: Sequence[ChatMessage],
    *,
    num_tokens: Callable[[ChatMessage], int],
    available_tokens: int,
) -> tuple[ChatMessage, ...]:
    """Returns the system message and the newest turns that fit into the available tokens.

    The oldest turns are dropped first, a question together with its answer, so that the rest starts
    with the user. Raises `RequestError` if not even the last message fits.
    """
    system = tuple(message for message in messages[:1] if message.role == "system")
    turns = list(messages[len(system) :])
    tokens_left = available_tokens - sum(map(num_tokens, system)) - num_tokens(turns[-1])
    if tokens_left < 0:
        raise RequestError(
            "The message and the system prompt are longer than the "
            f"{available_tokens} tokens that fit into the language model's context.",
            param="messages",
            code="context_length_exceeded",
        )
    start = len(turns) - 1
    while start > 0:
        tokens_left -= num_tokens(turns[start - 1])
        if tokens_left < 0:
            break
        start -= 1
    if start > 0 and turns[start].role != "user":
        start += 1
    return (*system, *turns[start:])


# An English token is 4 bytes, and a Chinese, Korean or Hindi character is 3 bytes and at most one
# token in today's vocabularies. Overestimating is safe; after an underestimate the server refuses.
_BYTES_PER_TOKEN = 3
# The control tokens around a turn.
_TOKENS_PER_MESSAGE = 6

ANSWER_TOKENS = 512
"""Tokens reserved for an answer if the request sets no limit."""

MAX_ANSWER_TOKENS = 4096
"""Limit for such an answer, so that it ends; some hosted models reject a higher one."""


def estimate_tokens(message: ChatMessage) -> int:
    """Returns an upper estimate of the tokens of a message."""
    num_bytes = len(message.content.encode("utf-8", "surrogatepass"))
    return -(-num_bytes // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE


def fit_to_context(
    messages: Sequence[ChatMessage], *, max_model_len: int, max_tokens: int | None
) -> tuple[tuple[ChatMessage, ...], int]:
    """Returns the newest messages that fit together with an answer, and the answer's token limit.

    At most half of the context is reserved for the answer, because many clients always request the
    maximum. Raises `RequestError` if not even the last message fits.
    """
    wanted_tokens = ANSWER_TOKENS if max_tokens is None else max_tokens
    reserved_tokens = min(wanted_tokens, max_model_len // 2)
    kept = trim(
        messages, num_tokens=estimate_tokens, available_tokens=max_model_len - reserved_tokens
    )
    tokens_left = max_model_len - sum(map(estimate_tokens, kept))
    return kept, min(tokens_left, MAX_ANSWER_TOKENS if max_tokens is None else max_tokens)

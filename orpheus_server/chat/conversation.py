"""Messages for a language model: their order, their tokens, and which fit into its context."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from orpheus_server.errors import RequestError
from orpheus_server.interfaces import ChatMessage

_JOINT = "\n\n"


def arrange(
    messages: Sequence[ChatMessage], *, default_system: str | None
) -> tuple[ChatMessage, ...]:
    """The messages in the order that every chat template takes: system, then turns that alternate.

    System messages become one, and replace the default. Templates like Gemma's refuse two turns of
    the same role in a row: those become one, and empty ones are left out. Raises `RequestError` if
    the last turn is not the user's.
    """
    said = [_encodable(message) for message in messages if message.content.strip()]
    own_system = [message.content for message in said if message.role == "system"]
    # Joined once: a hundred thousand of one role, each put behind the others, take minutes.
    spoken = (message for message in said if message.role != "system")
    turns = [
        ChatMessage(role, _JOINT.join(message.content for message in group))
        for role, group in groupby(spoken, key=attrgetter("role"))
    ]
    if not turns or turns[-1].role != "user":
        raise RequestError(
            "The last message must be the user's, and say something.",
            param="messages",
            code="invalid_value",
        )
    system = _JOINT.join(own_system) or default_system
    return (ChatMessage("system", system), *turns) if system else tuple(turns)


def _encodable(message: ChatMessage) -> ChatMessage:
    # JSON can hold halves of surrogate pairs, which no tokenizer takes.
    content = message.content.encode(errors="replace").decode()
    return message if content == message.content else ChatMessage(message.role, content)


def fold_system(messages: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """For templates that know no system role, such as Gemma's: it becomes part of the first turn.

    Such templates begin with the user: a conversation that the assistant began gets a turn of the
    user's before it, and without a system prompt, of which that could be, loses its first turn.
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
    """The newest messages that fit into the available tokens, and always the system's.

    The oldest go first, and with a question its answer: what is left begins with the user. Raises
    `RequestError` if not even the last one fits.
    """
    system = tuple(message for message in messages[:1] if message.role == "system")
    turns = list(messages[len(system) :])
    tokens_left = available_tokens - sum(map(num_tokens, system)) - num_tokens(turns[-1])
    if tokens_left < 0:
        raise RequestError(
            "The message and the system prompt are longer than the "
            f"{available_tokens} tokens that the language model has room for.",
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


# A token of English is 4 bytes and a character of Chinese, Korean or Hindi 3, which is one token at
# most for today's vocabularies: too many are counted rather than too few, or the server refuses.
_BYTES_PER_TOKEN = 3
# The marks around a turn.
_TOKENS_PER_MESSAGE = 6

ANSWER_TOKENS = 512
"""Kept free for an answer whose length nobody asked for."""

MAX_ANSWER_TOKENS = 4096
"""Of such an answer, so that it ends; more than this some hosted models refuse."""


def estimate_tokens(message: ChatMessage) -> int:
    """Tokens that the message takes, rather too many."""
    num_bytes = len(message.content.encode("utf-8", "surrogatepass"))
    return -(-num_bytes // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE


def fit_to_context(
    messages: Sequence[ChatMessage], *, max_model_len: int, max_tokens: int | None
) -> tuple[tuple[ChatMessage, ...], int]:
    """The newest messages that fit beside an answer, and the most tokens that it may have.

    At most half of the context is reserved for the answer: many callers always ask for the longest
    one. Raises `RequestError` if not even the last message fits.
    """
    wanted_tokens = ANSWER_TOKENS if max_tokens is None else max_tokens
    reserved_tokens = min(wanted_tokens, max_model_len // 2)
    kept = trim(
        messages, num_tokens=estimate_tokens, available_tokens=max_model_len - reserved_tokens
    )
    tokens_left = max_model_len - sum(map(estimate_tokens, kept))
    return kept, min(tokens_left, MAX_ANSWER_TOKENS if max_tokens is None else max_tokens)

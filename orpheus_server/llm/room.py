"""How much of a conversation a language model is given whose tokens nobody here can count."""

from collections.abc import Sequence

from orpheus_server.conversation import trim
from orpheus_server.interfaces import ChatMessage

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


def make_room(
    messages: Sequence[ChatMessage], *, max_model_len: int, max_tokens: int | None
) -> tuple[tuple[ChatMessage, ...], int]:
    """The newest messages that fit beside an answer, and the most tokens that it may have.

    At most half of the room is kept free for the answer: many callers always ask for the longest
    one. Raises `RequestError` if not even the last message fits.
    """
    asked = ANSWER_TOKENS if max_tokens is None else max_tokens
    kept_free = min(asked, max_model_len // 2)
    kept = trim(messages, num_tokens=estimate_tokens, room_tokens=max_model_len - kept_free)
    left = max_model_len - sum(map(estimate_tokens, kept))
    return kept, min(left, MAX_ANSWER_TOKENS if max_tokens is None else max_tokens)

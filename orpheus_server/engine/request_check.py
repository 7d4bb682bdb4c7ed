"""What every engine checks of a request before it generates."""

import asyncio

from orpheus_server.errors import GenerationFailed
from orpheus_server.interfaces import TokenRequest


class OneLoop:
    """Remembers the first event loop that uses an engine; an engine serves no other."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> asyncio.AbstractEventLoop:
        """Returns the running loop. Raises `RuntimeError` in any loop but the first."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            # The engine would produce the tokens and never wake this loop.
            raise RuntimeError("the engine was used from a second event loop")
        return loop


def check_request(request: TokenRequest, *, vocab_size: int, max_model_len: int) -> None:
    """Raises `GenerationFailed` for a prompt that the model cannot take."""
    # One id outside the vocabulary would kill the engine and fail all its requests.
    if not all(0 <= token_id < vocab_size for token_id in request.prompt_token_ids):
        raise GenerationFailed("the prompt has an id outside of the vocabulary")
    num_tokens = len(request.prompt_token_ids) + request.max_tokens
    if not request.prompt_token_ids or request.max_tokens < 1:
        raise GenerationFailed("the prompt is empty, or max_tokens is less than 1")
    if num_tokens > max_model_len:
        raise GenerationFailed(
            f"{num_tokens} tokens do not fit into the context of {max_model_len}"
        )

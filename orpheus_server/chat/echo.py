"""A stand-in for a language model that repeats the message, for trying chat without one."""

import asyncio
import re
from collections.abc import AsyncGenerator

from orpheus_server.chat.model_info import ECHO
from orpheus_server.interfaces import ChatModelInfo, FinishReason, ReplyDelta, ReplyRequest

_WORD = re.compile(r"\s*\S+\s*?|\s+")


class EchoModel:
    """Repeats the user's last message word by word; each word counts as one token."""

    def __init__(self) -> None:
        self.info = ChatModelInfo(
            name=ECHO,
            provider="orpheus-server",
            license="Apache-2.0",
            license_url="https://www.apache.org/licenses/LICENSE-2.0",
            attribution="No model: it repeats the message",
        )
        self.num_active = 0
        self.is_alive = True

    async def reply(self, request: ReplyRequest) -> AsyncGenerator[ReplyDelta, None]:
        """Yields the words of the last message, at most `max_tokens`."""
        words = _WORD.findall(request.messages[-1].content)
        max_tokens = request.options.max_tokens
        num_prompt_tokens = sum(len(_WORD.findall(each.content)) for each in request.messages)
        self.num_active += 1
        try:
            for word in words[:max_tokens]:
                # A long message must not block the event loop.
                await asyncio.sleep(0)
                yield ReplyDelta(word, 1, num_prompt_tokens=num_prompt_tokens)
            is_cut = max_tokens is not None and len(words) > max_tokens
            reason: FinishReason = "length" if is_cut else "stop"
            yield ReplyDelta("", 0, reason, num_prompt_tokens)
        finally:
            self.num_active -= 1

    async def close(self) -> None:
        """Does nothing."""

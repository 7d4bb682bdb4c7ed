"""Text of one utterance of a session on its way to speech."""

import asyncio
from collections.abc import AsyncGenerator

from orpheus_server.synthesis.job import SpeechStats
from orpheus_server.talk import HowToSpeak
from orpheus_server.text.chunk_stream import TextStream


class Utterance:
    """Takes its chunks as they become certain, and gives them to whoever speaks."""

    def __init__(self, index: int, stream: TextStream, how: HowToSpeak) -> None:
        self.index = index
        self.stream = stream
        self.how = how
        self.has_all_text = False
        self.has_failed_early = False
        self.stats = SpeechStats()
        self._chunks: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, chunks: list[str]) -> None:
        """Chunks that are certain."""
        for chunk in chunks:
            self._chunks.put_nowait(chunk)

    def end(self) -> None:
        """There are no more."""
        self._chunks.put_nowait(None)

    def fail(self) -> None:
        """Nothing of it is spoken any more; the text that still comes is not for the next one."""
        if not self.has_all_text:
            self.has_all_text = self.has_failed_early = True

    async def texts(self) -> AsyncGenerator[str, None]:
        """Chunks in order, each once it is there."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

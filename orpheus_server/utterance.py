"""Text of one utterance of a session on its way to speech."""

import asyncio
from collections.abc import AsyncGenerator

from orpheus_server.synthesizer import SpeechStats
from orpheus_server.text_stream import TextStream


class Utterance:
    """Takes its chunks as they become certain, and gives them to whoever speaks."""

    def __init__(self, index: int, stream: TextStream) -> None:
        self.index = index
        self.stream = stream
        self.has_all_text = False
        self.stats = SpeechStats()
        self._chunks: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, chunks: list[str]) -> None:
        """Chunks that are certain."""
        for chunk in chunks:
            self._chunks.put_nowait(chunk)

    def end(self) -> None:
        """There are no more."""
        self._chunks.put_nowait(None)

    async def texts(self) -> AsyncGenerator[str, None]:
        """Chunks in order, each once it is there."""
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

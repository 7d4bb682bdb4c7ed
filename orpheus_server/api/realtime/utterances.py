"""Utterances of a session: the client's own text, and a message that is answered."""

import asyncio
from collections.abc import AsyncGenerator

from orpheus_server.api.answers.spoken_reply import SpokenReply
from orpheus_server.api.realtime.sent_audio import SentAudio
from orpheus_server.interfaces import ReplyOptions
from orpheus_server.synthesis.job import SpeechParams, SpeechStats
from orpheus_server.text.chunk_stream import ChunkStream


class TextUtterance:
    """Takes its chunks as they become certain, and gives them to whoever speaks."""

    def __init__(self, index: int, stream: ChunkStream, params: SpeechParams) -> None:
        self.index = index
        self.stream = stream
        self.params = params
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


class ChatUtterance:
    """A message and its reply; `spoken_reply` and `audio` are set once it has begun.

    `recorded` is what the session's history holds of it, None while it is being spoken.
    """

    def __init__(
        self, index: int, question: str, options: ReplyOptions, params: SpeechParams
    ) -> None:
        self.index = index
        self.question = question
        self.options = options
        self.params = params
        self.spoken_reply: SpokenReply | None = None
        self.audio: SentAudio | None = None
        self.recorded: str | None = None

    @property
    def stats(self) -> SpeechStats:
        """Of its sound."""
        return self.spoken_reply.stats if self.spoken_reply else SpeechStats()

    @property
    def text(self) -> str:
        """What the model has written so far."""
        return self.spoken_reply.reply.text if self.spoken_reply else ""

    def heard(self, num_played: int) -> str:
        """The words behind so many samples."""
        return self.audio.heard(num_played) if self.audio else ""

    def begin(self, spoken_reply: SpokenReply, audio: SentAudio) -> None:
        """It is being written from now on."""
        self.spoken_reply, self.audio = spoken_reply, audio

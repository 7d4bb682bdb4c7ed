"""Text of one utterance of a session on its way to speech."""

import asyncio
from collections.abc import AsyncGenerator

from orpheus_server.api.answers.spoken_reply import Talk
from orpheus_server.api.realtime.sent_audio import SentSound
from orpheus_server.api.requests.speech import HowToSpeak
from orpheus_server.interfaces import ReplyOptions
from orpheus_server.synthesis.job import SpeechStats
from orpheus_server.text.chunk_stream import ChunkStream


class Utterance:
    """Takes its chunks as they become certain, and gives them to whoever speaks."""

    def __init__(self, index: int, stream: ChunkStream, how: HowToSpeak) -> None:
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


class Answer:
    """What is known of it; `talk` and `sound` are there once it has begun.

    `recorded` is what the session's history holds of it, None while it is being spoken.
    """

    def __init__(self, index: int, question: str, options: ReplyOptions, how: HowToSpeak) -> None:
        self.index = index
        self.question = question
        self.options = options
        self.how = how
        self.talk: Talk | None = None
        self.sound: SentSound | None = None
        self.recorded: str | None = None

    @property
    def stats(self) -> SpeechStats:
        """Of its sound."""
        return self.talk.stats if self.talk else SpeechStats()

    @property
    def text(self) -> str:
        """What the model has written so far."""
        return self.talk.reply.text if self.talk else ""

    def heard(self, num_played: int) -> str:
        """The words behind so many samples."""
        return self.sound.heard(num_played) if self.sound else ""

    def begin(self, talk: Talk, sound: SentSound) -> None:
        """It is being written from now on."""
        self.talk, self.sound = talk, sound

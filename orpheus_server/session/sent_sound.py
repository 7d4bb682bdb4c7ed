"""The sound of one utterance on its way to its player, and how much of it that has played."""

from collections.abc import AsyncGenerator

from orpheus_server.pacing import Pacer
from orpheus_server.session.event_sender import EventSender
from orpheus_server.session.played import SpokenChunk, heard_text
from orpheus_server.stream_events import AudioStart, ChunkStart
from orpheus_server.synthesis.job import AudioPiece, SpeechStats


class SentSound:
    """Sends pieces no sooner than they are due, with the events between them.

    `num_sent` samples have left. A player that says nothing of itself has no buffer, and plays from
    the first message on.
    """

    def __init__(self, index: int, sender: EventSender, *, sample_rate: int, speed: float) -> None:
        self.index = index
        self.num_sent = 0
        self._sender = sender
        self._sample_rate = sample_rate
        self._speed = speed
        self._pacer = Pacer(sample_rate)
        self._chunks: list[SpokenChunk] = []
        self._chunk: int | None = None
        self._stats = SpeechStats()

    @property
    def has_begun(self) -> bool:
        """True once its start was told."""
        return self._chunk is not None

    async def send_all(self, pieces: AsyncGenerator[AudioPiece, None], stats: SpeechStats) -> None:
        """The pieces, of which `stats` are kept up to date by whoever makes them."""
        self._stats = stats
        async for piece in pieces:
            await self._pacer.wait_for(piece.start_sample)
            if piece.chunk is not None and piece.text is not None and piece.chunk != self._chunk:
                await self._begin_chunk(piece.chunk, piece.text, piece.start_sample)
            if piece.data and self.has_begun:
                await self._sender.send_sound(piece.data)
            self.num_sent = stats.num_samples

    async def _begin_chunk(self, chunk: int, text: str, start_sample: int) -> None:
        if self._chunk is None:
            await self._sender.send(AudioStart(utterance=self.index))
        self._chunk = chunk
        self._chunks.append(SpokenChunk(text, start_sample))
        start = ChunkStart(utterance=self.index, chunk=chunk, text=text, start_sample=start_sample)
        await self._sender.send(start)

    def num_played(self, played_ms: float | None) -> int:
        """Samples that a player has played which is at that place; None goes by the clock."""
        if played_ms is None:
            return self._pacer.num_played(self.num_sent)
        return int(min(self.num_sent, played_ms * self._sample_rate / 1000))

    def heard(self, num_played: int) -> str:
        """The words behind so many samples."""
        return heard_text(
            self._chunks,
            num_played=num_played,
            num_sent=self.num_sent,
            is_last_whole=self._chunk is not None and self._stats.num_chunks > self._chunk,
            sample_rate=self._sample_rate,
            speed=self._speed,
        )

"""Sends the audio of one utterance, and works out which words of it have been played."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from orpheus_server.api.realtime.events import AudioStart, ChunkStart
from orpheus_server.api.realtime.pacing import Pacer
from orpheus_server.api.realtime.sender import EventSender
from orpheus_server.synthesis.job import AudioPiece, SpeechStats
from orpheus_server.text.duration import estimate_duration_sec, is_cjk

_END_SEC = 0.1
"""A chunk ends with silence and players round their position: its last 0.1 s hold no word."""


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """A chunk of text, and the sample of the utterance at which its audio starts."""

    text: str
    start_sample: int


def heard_text(
    chunks: Sequence[SpokenChunk],
    *,
    num_played: int,
    num_sent: int,
    is_last_whole: bool,
    sample_rate: int,
    speed: float = 1.0,
) -> str:
    """Returns the text of the first `num_played` samples of an utterance, in whole words.

    The chunk in which they end contributes the share of its text that was played of its audio.
    `num_sent` samples have been sent. If they include the whole last chunk (`is_last_whole`), they
    give its length; otherwise its length is estimated from its text.
    """
    heard: list[str] = []
    for index, chunk in enumerate(chunks):
        if num_played <= chunk.start_sample:
            break
        if index + 1 < len(chunks):
            end = chunks[index + 1].start_sample
        elif is_last_whole:
            end = num_sent
        else:
            expected = estimate_duration_sec(chunk.text) / speed * sample_rate
            end = max(num_sent, chunk.start_sample + round(expected))
        if num_played >= end - _END_SEC * sample_rate:
            heard.append(chunk.text)
            continue
        share = (num_played - chunk.start_sample) / (end - chunk.start_sample)
        heard.append(_words_within(chunk.text, share))
    return " ".join(filter(None, heard))


def _words_within(text: str, share: float) -> str:
    """Returns the words that end within this share of the text; each ideograph is a word."""
    limit = share * len(text)
    ends = (end for end in range(1, len(text) + 1) if end <= limit and _ends_word(text, end))
    return text[: max(ends, default=0)]


def _ends_word(text: str, end: int) -> bool:
    if text[end - 1].isspace():
        return False
    if end == len(text) or text[end].isspace():
        return True
    return is_cjk(text[end - 1]) or is_cjk(text[end])


class SentAudio:
    """Sends audio at the pace of its playback, with the events that belong between its pieces.

    `num_sent` samples have been sent. A player that does not report its position is assumed to play
    without a buffer, from the first message on.
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
        """True once `audio.start` has been sent."""
        return self._chunk is not None

    async def send_all(self, pieces: AsyncGenerator[AudioPiece, None], stats: SpeechStats) -> None:
        """Sends the pieces; their generator keeps `stats` up to date."""
        self._stats = stats
        async for piece in pieces:
            await self._pacer.wait_for(piece.start_sample)
            if piece.chunk is not None and piece.text is not None and piece.chunk != self._chunk:
                await self._begin_chunk(piece.chunk, piece.text, piece.start_sample)
            if piece.data and self.has_begun:
                await self._sender.send_audio(piece.data)
            self.num_sent = stats.num_samples

    async def _begin_chunk(self, chunk: int, text: str, start_sample: int) -> None:
        if self._chunk is None:
            await self._sender.send(AudioStart(utterance=self.index))
        self._chunk = chunk
        self._chunks.append(SpokenChunk(text, start_sample))
        start = ChunkStart(utterance=self.index, chunk=chunk, text=text, start_sample=start_sample)
        await self._sender.send(start)

    def num_played(self, played_ms: float | None) -> int:
        """Samples that a player at this position has played; None goes by the clock."""
        if played_ms is None:
            return self._pacer.num_played(self.num_sent)
        return int(min(self.num_sent, played_ms * self._sample_rate / 1000))

    def heard(self, num_played: int) -> str:
        """Returns the text of the first `num_played` samples, in whole words."""
        return heard_text(
            self._chunks,
            num_played=num_played,
            num_sent=self.num_sent,
            is_last_whole=self._chunk is not None and self._stats.num_chunks > self._chunk,
            sample_rate=self._sample_rate,
            speed=self._speed,
        )

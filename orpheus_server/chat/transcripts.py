"""Transcripts of spoken answers by audio id, which later requests may send instead of the text."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LIFETIME_SEC = 3600

MAX_TRANSCRIPTS, MAX_CHARS = 10_000, 20_000_000
"""Limits for all callers together; answers rarely exceed a thousand characters."""


@dataclass(frozen=True, slots=True)
class _Transcript:
    text: str
    expires_at: int


class TranscriptStore:
    """Keeps transcripts, each for the caller it was sent to. Drops the oldest beyond the limits."""

    def __init__(
        self,
        *,
        lifetime_sec: int = LIFETIME_SEC,
        max_transcripts: int = MAX_TRANSCRIPTS,
        max_chars: int = MAX_CHARS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` returns Unix time, which clients receive as the expiry."""
        self._lifetime_sec = lifetime_sec
        self._max_transcripts = max_transcripts
        self._max_chars = max_chars
        self._clock = clock
        # Oldest first.
        self._kept: dict[tuple[str, str], _Transcript] = {}
        self.num_chars = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, caller: str, audio_id: str, text: str) -> int:
        """Stores a transcript. Returns its expiry (Unix time); newer ones may displace it."""
        self._forget((caller, audio_id))
        expires_at = int(self._clock()) + self._lifetime_sec
        self._kept[caller, audio_id] = _Transcript(text, expires_at)
        self.num_chars += len(text)
        self._evict()
        return expires_at

    def find(self, caller: str, audio_id: str) -> str | None:
        """Returns the text, or None if it is unknown for this caller or has expired."""
        self._evict()
        found = self._kept.get((caller, audio_id))
        return None if found is None else found.text

    def _evict(self) -> None:
        now_sec = self._clock()
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            is_too_much = (
                len(self._kept) > self._max_transcripts or self.num_chars > self._max_chars
            )
            if not is_too_much and now_sec < oldest.expires_at:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.num_chars -= len(found.text)

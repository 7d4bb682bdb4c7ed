"""Times of one spoken reply as it arrives, and statistics of a level."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_server.bench.client.player import BYTES_PER_SEC
from orpheus_server.bench.report import Percentiles, percentiles


@dataclass(frozen=True, slots=True)
class ChatResult:
    """Seconds since the message was sent; None for what never arrived."""

    first_text_sec: float | None
    last_text_sec: float | None
    first_audio_sec: float | None
    total_sec: float
    audio_sec: float
    failure: str | None = None

    @property
    def is_overlapped(self) -> bool:
        """True if audio arrived before the last text: the voice did not wait for the model."""
        first, last = self.first_audio_sec, self.last_text_sec
        return first is not None and last is not None and first < last


class ChatTimes:
    """Takes the events of one reply, in order of arrival."""

    def __init__(self) -> None:
        self.first_text_sec: float | None = None
        self.last_text_sec: float | None = None
        self.first_audio_sec: float | None = None
        self.num_audio_bytes = 0
        self.failure: str | None = None
        self.is_done = False

    def take(self, line: str, now_sec: float) -> None:
        """Takes one line of the server-sent events of `/v1/chat/completions`."""
        kind, _, data = line.partition(": ")
        if kind != "data":
            return
        if data == "[DONE]":
            self.is_done = True
            return
        chunk = json.loads(data)
        if "error" in chunk:
            self.failure = str(chunk["error"].get("code"))
            return
        for choice in chunk["choices"]:
            delta = choice["delta"]
            audio = delta.get("audio") or {}
            if delta.get("content") or audio.get("transcript"):
                self.last_text_sec = now_sec
                self.first_text_sec = self.first_text_sec or now_sec
            if audio.get("data"):
                self.num_audio_bytes += len(base64.b64decode(audio["data"]))
                self.first_audio_sec = self.first_audio_sec or now_sec

    def result(self, total_sec: float, failure: str | None) -> ChatResult:
        """The result; a reply without an end or without audio has failed."""
        failure = failure or self.failure
        if failure is None and not self.is_done:
            failure = "no end"
        if failure is None and self.first_audio_sec is None:
            failure = "no sound"
        return ChatResult(
            first_text_sec=self.first_text_sec,
            last_text_sec=self.last_text_sec,
            first_audio_sec=self.first_audio_sec,
            total_sec=total_sec,
            audio_sec=self.num_audio_bytes / BYTES_PER_SEC,
            failure=failure,
        )


@dataclass(frozen=True, slots=True)
class ChatStats:
    """One level: each user sends the next message when the last reply has ended."""

    num_users: int
    num_answers: int
    failures: dict[str, int]
    num_overlapped: int
    first_text_sec: Percentiles | None
    first_audio_sec: Percentiles | None
    last_text_sec: Percentiles | None
    total_sec: Percentiles | None
    audio_sec: float

    @property
    def num_failed(self) -> int:
        """Failures of all kinds."""
        return sum(self.failures.values())


def chat_stats(results: Sequence[ChatResult], *, num_users: int) -> ChatStats:
    """Times of complete replies; failures are counted by kind."""
    whole = [each for each in results if each.failure is None]

    def of(name: str) -> Percentiles | None:
        values = [getattr(each, name) for each in whole]
        return percentiles([value for value in values if value is not None])

    return ChatStats(
        num_users=num_users,
        num_answers=len(results),
        failures=dict(sorted(Counter(each.failure for each in results if each.failure).items())),
        num_overlapped=sum(each.is_overlapped for each in whole),
        first_text_sec=of("first_text_sec"),
        first_audio_sec=of("first_audio_sec"),
        last_text_sec=of("last_text_sec"),
        total_sec=of("total_sec"),
        audio_sec=sum(each.audio_sec for each in whole),
    )


_COLUMNS = ("users", "answers", "failed", "first text", "first audio", "last text", "end", "sooner")


def chat_table(levels: Sequence[ChatStats]) -> str:
    """The table with one line per level; times are p50/p95 in ms."""
    rows = [
        (
            str(each.num_users),
            str(each.num_answers),
            str(each.num_failed),
            _pair(each.first_text_sec),
            _pair(each.first_audio_sec),
            _pair(each.last_text_sec),
            _pair(each.total_sec),
            str(each.num_overlapped),
        )
        for each in levels
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (_COLUMNS, *rows)
    ]
    explained = "times: p50/p95 ms; sooner: replies that were heard before their text was complete."
    return "\n".join((*lines, explained))


def _pair(times: Percentiles | None) -> str:
    return "-" if times is None else f"{times.p50 * 1000:.0f}/{times.p95 * 1000:.0f}"

"""Times and counts of one reply, for the log and the metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplyTimings:
    """Times are seconds since the request; None if the event never happened.

    `chunk_secs` are the times that synthesising each chunk took; they overlap.
    """

    num_prompt_tokens: int
    num_tokens: int
    tokens_per_sec: float
    first_token_sec: float | None
    last_token_sec: float | None
    first_audio_sec: float | None
    num_sentences: int
    chunk_secs: tuple[float, ...]
    audio_sec: float
    num_voice_tokens: int
    voice_tokens_per_sec: float
    total_sec: float

    @property
    def sentence_mean_sec(self) -> float:
        """Mean time to synthesise a sentence; 0 without sentences."""
        return sum(self.chunk_secs) / self.num_sentences if self.num_sentences else 0.0

    def line(self) -> str:
        """Formats the values for a log line."""
        return (
            f"prompt_tokens={self.num_prompt_tokens} llm_tokens={self.num_tokens} "
            f"llm_tokens_per_sec={self.tokens_per_sec:.1f} "
            f"llm_first_token_ms={_ms(self.first_token_sec)} "
            f"llm_last_token_ms={_ms(self.last_token_sec)} "
            f"first_audio_ms={_ms(self.first_audio_sec)} sentences={self.num_sentences} "
            f"chunks={len(self.chunk_secs)} "
            f"chunk_ms={','.join(map(_ms, self.chunk_secs)) or '-'} "
            f"sentence_mean_ms={_ms(self.sentence_mean_sec)} audio_sec={self.audio_sec:.2f} "
            f"voice_tokens={self.num_voice_tokens} "
            f"voice_tokens_per_sec={self.voice_tokens_per_sec:.1f} total_sec={self.total_sec:.2f}"
        )


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else str(round(seconds * 1000))

"""The log line of a reply."""

from orpheus_server.chat.reply_timings import ReplyTimings

TIMINGS = ReplyTimings(
    num_prompt_tokens=12,
    num_tokens=30,
    tokens_per_sec=41.26,
    first_token_sec=0.0421,
    last_token_sec=0.745,
    first_audio_sec=0.3096,
    num_sentences=3,
    chunk_secs=(0.5, 1.0),
    audio_sec=4.567,
    num_voice_tokens=374,
    voice_tokens_per_sec=249.96,
    total_sec=1.7,
)


def test_line() -> None:
    assert TIMINGS.line() == (
        "prompt_tokens=12 llm_tokens=30 llm_tokens_per_sec=41.3 llm_first_token_ms=42 "
        "llm_last_token_ms=745 first_audio_ms=310 sentences=3 chunks=2 chunk_ms=500,1000 "
        "sentence_mean_ms=500 audio_sec=4.57 voice_tokens=374 voice_tokens_per_sec=250.0 "
        "total_sec=1.70"
    )


def test_events_that_never_happened() -> None:
    nothing = ReplyTimings(
        num_prompt_tokens=0,
        num_tokens=0,
        tokens_per_sec=0.0,
        first_token_sec=None,
        last_token_sec=None,
        first_audio_sec=None,
        num_sentences=0,
        chunk_secs=(),
        audio_sec=0.0,
        num_voice_tokens=0,
        voice_tokens_per_sec=0.0,
        total_sec=0.0,
    )
    assert nothing.sentence_mean_sec == 0.0
    assert nothing.line() == (
        "prompt_tokens=0 llm_tokens=0 llm_tokens_per_sec=0.0 llm_first_token_ms=- "
        "llm_last_token_ms=- first_audio_ms=- sentences=0 chunks=0 chunk_ms=- "
        "sentence_mean_ms=0 audio_sec=0.00 voice_tokens=0 voice_tokens_per_sec=0.0 total_sec=0.00"
    )

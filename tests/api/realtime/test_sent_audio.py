"""Which words were heard, for each position at which a player may stop."""

import pytest

from orpheus_server.api.realtime.sent_audio import SpokenChunk, heard_text
from orpheus_server.text.duration import estimate_duration_sec

RATE = 1000
CHUNKS = [
    SpokenChunk("One two three.", 0),
    SpokenChunk("Four five.", 2000),
    SpokenChunk("Six seven eight nine.", 3000),
]


def heard(num_played: int, *, num_sent: int = 5000, is_last_whole: bool = True) -> str:
    return heard_text(
        CHUNKS,
        num_played=num_played,
        num_sent=num_sent,
        is_last_whole=is_last_whole,
        sample_rate=RATE,
    )


@pytest.mark.parametrize(
    ("num_played", "text"),
    [
        (0, ""),
        (1, ""),
        # 14 characters in 2000 samples: "One" ends with the third, "One two" with the seventh.
        (428, ""),
        (429, "One"),
        (999, "One"),
        (1000, "One two"),
        (1899, "One two"),
        # The last tenth of a second is silence.
        (1900, "One two three."),
        (2000, "One two three."),
        (2399, "One two three."),
        (2400, "One two three. Four"),
        (3000, "One two three. Four five."),
        (3999, "One two three. Four five. Six seven"),
        (4899, "One two three. Four five. Six seven eight"),
        (4900, "One two three. Four five. Six seven eight nine."),
        (9999, "One two three. Four five. Six seven eight nine."),
    ],
)
def test_each_position(num_played: int, text: str) -> None:
    assert heard(num_played) == text


def test_no_chunks() -> None:
    assert heard_text([], num_played=5, num_sent=0, is_last_whole=False, sample_rate=RATE) == ""


def test_the_length_of_an_unfinished_chunk_is_estimated() -> None:
    """Regression: the samples sent so far were taken for the whole chunk, and half of it counted as
    all of its words."""
    expected = round(estimate_duration_sec(CHUNKS[2].text) * RATE)
    assert expected > 1000
    half = 3000 + expected // 2
    early = heard(half, num_sent=half, is_last_whole=False)
    assert early == "One two three. Four five. Six seven"
    assert heard(half, num_sent=half, is_last_whole=True).endswith("nine.")


def test_an_estimate_that_was_too_short() -> None:
    assert heard(7000, num_sent=11_000, is_last_whole=False).endswith(" five. Six seven")


def test_the_estimate_depends_on_the_speed() -> None:
    expected = estimate_duration_sec("Six seven eight nine.") * RATE
    for speed in (0.5, 2.0):
        num_played = round(expected / speed / 2)
        text = heard_text(
            [SpokenChunk("Six seven eight nine.", 0)],
            num_played=num_played,
            num_sent=num_played,
            is_last_whole=False,
            sample_rate=RATE,
            speed=speed,
        )
        assert text == "Six seven"


@pytest.mark.parametrize(
    ("share", "text"), [(0.2, "今"), (0.5, "今天天"), (0.7, "今天天气"), (0.9, "今天天气好")]
)
def test_words_written_without_spaces(share: float, text: str) -> None:
    """Regression: a sentence counted as one word, and none of it as heard."""
    chunks = [SpokenChunk("今天天气好。", 0)]
    num_played = int(10_000 * share)
    words = heard_text(
        chunks, num_played=num_played, num_sent=10_000, is_last_whole=True, sample_rate=RATE
    )
    assert words == text


def test_a_chunk_shorter_than_its_final_silence() -> None:
    """It counts as heard from its first sample on."""
    chunks = [SpokenChunk("A.", 0), SpokenChunk("B.", 50), SpokenChunk("C.", 90)]
    texts = [
        heard_text(chunks, num_played=each, num_sent=130, is_last_whole=True, sample_rate=RATE)
        for each in (0, 1, 50, 51, 91)
    ]
    assert texts == ["", "A.", "A.", "A. B.", "A. B. C."]

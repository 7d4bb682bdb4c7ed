"""The chunks of text with markup, as chat models write it."""

import pytest

from orpheus_server.text.chunk_stream import ChunkStream
from orpheus_server.text.chunking import ChunkLimits
from orpheus_server.text.front_end import LetterFrontEnd, PreparedText
from orpheus_server.text.markdown.stream import MarkdownToSpeech
from tests.support.markup import CHAT, TAGS

LIMITS = ChunkLimits(chunk_max_chars=500, chunk_max_sec=50.0)


def chunks_of_answer(text: str, size: int) -> list[str]:
    """Returns the chunks of a chat model's answer that arrives in deltas of `size` characters."""
    to_speech = MarkdownToSpeech(CHAT)
    stream = ChunkStream(
        tags=TAGS, limits=LIMITS, front_end=LetterFrontEnd(lambda text: len(text) / 15)
    )
    chunks: list[PreparedText] = []
    for start in range(0, len(text), size):
        chunks += stream.feed(to_speech.feed(text[start : start + size]))
    chunks += [*stream.feed(to_speech.flush()), *stream.flush()]
    return [chunk.text for chunk in chunks]


ANSWER = """Sure! Here's how to make **pancakes** 🥞:

## Ingredients

- 2 cups of *flour*
- 1.5 cups milk
- 3 eggs ([free range](https://example.com/eggs?x=1), if possible)

## Steps

1. **Mix** the flour and milk.
2. Add the eggs, e.g. one at a time
3. Bake at 180 °C for approx. 10 minutes

```python
def bake(minutes: int) -> None:
    print("done")
```

| Size  | Price |
|-------|-------|
| Small | $3.50 |
| Large | $5    |

> **Note:** Dr. Oetker's version uses `baking_powder`. It costs $1.20.

Enjoy!!! 😋 See https://www.example.com/recipes/1 for more."""


@pytest.mark.parametrize("size", [1, 4, 7, 10_000])
def test_the_chunks_of_an_answer(size: int) -> None:
    assert chunks_of_answer(ANSWER, size) == [
        "Sure! Here's how to make pancakes:",
        "Ingredients.",
        "2 cups of flour, 1.5 cups milk, 3 eggs (free range, if possible).",
        "Steps.",
        "1. Mix the flour and milk. 2. Add the eggs, e.g. one at a time.",
        "3. Bake at 180 °C for approx. 10 minutes.",
        "Size, Price. Small, $3.50. Large, $5.",
        "Note: Dr. Oetker's version uses baking powder.",
        "It costs $1.20.",
        "Enjoy! See example.com for more.",
    ]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        # Items keep their numbers, and no sentence is cut at a decimal or an abbreviation.
        (
            "The steps are:\n1. Mix it all very well\n2. Wait for 3.5 hours\n10. Eat",
            ["The steps are: 1. Mix it all very well.", "2. Wait for 3.5 hours. 10. Eat."],
        ),
        (
            "1) Preheat the oven to 200 °C.\n\n2) Bake it.",
            ["1. Preheat the oven to 200 °C.", "2. Bake it."],
        ),
        (
            "**Mr. J. R. Smith, Ph.D.** paid $3.50, vs. $4.25 before. *Then* he left.",
            ["Mr. J. R. Smith, Ph.D. paid $3.50, vs. $4.25 before.", "Then he left."],
        ),
        (
            "- See **No. 5** and `fig_3` at 5 p.m.\n- Version 3.11.7 is out",
            ["See No. 5 and fig 3 at 5 p.m.", "Version 3.11.7 is out."],
        ),
        (
            "I. The first of the chapters\nII. The second\nIII. The third one\nIV. End",
            ["I. The first of the chapters, II. The second, III. The third one, IV. End."],
        ),
        ("That is really very funny. 😂 <laugh> So", ["That is really very funny.", "<laugh> So."]),
        (
            "Am **24. Dezember** z.B. um 8 Uhr kam er. Ja.",
            ["Am 24. Dezember z.B. um 8 Uhr kam er.", "Ja."],
        ),
        ("- 苹果很好吃也很红\n- 梨\n\n**好**！", ["苹果很好吃也很红， 梨。", "好！"]),
    ],
)
def test_chunks_of_markup(text: str, chunks: list[str]) -> None:
    assert chunks_of_answer(text, 1) == chunks
    assert chunks_of_answer(text, 10_000) == chunks


def test_the_first_chunk_does_not_wait_for_its_line() -> None:
    to_speech = MarkdownToSpeech(CHAT)
    stream = ChunkStream(
        tags=TAGS, limits=LIMITS, front_end=LetterFrontEnd(lambda text: len(text) / 15)
    )
    (chunk,) = stream.feed(to_speech.feed("- **Hello** to all of you [out](a.b) there. S"))
    assert chunk.text == "Hello to all of you out there."

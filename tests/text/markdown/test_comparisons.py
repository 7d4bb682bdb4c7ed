"""Comparisons and quotations, which both start with ">"."""

import pytest

from orpheus_server.text.markdown.stream import make_speakable
from tests.support.markup import CHAT, TEXT


@pytest.mark.parametrize(
    "text",
    [
        *(
            "> 90 %",
            "> 90% of users",
            "> 99.9 ‰ pure",
            "> 5 kg",
            "> 1,000 km away",
            "> 3 GB of RAM",
        ),
        *("> 5 minutes", "> 2 hours", "> 18 years", "> 3 times", "> -5 °C", "> 5k users"),
        *("> $5 million", "> €3.50", "> £20 is too much", "> 20 USD", "> 3 million people"),
        *("> 90", "> 3 * 4", "> 90 and < 100", "> 4 = 2 + 2", "> 5 minutes, < 10"),
    ],
)
def test_a_number_with_a_unit_or_an_operator_is_compared(text: str) -> None:
    for dialect in (CHAT, TEXT):
        assert make_speakable(text, dialect).startswith(text[:3])
        assert make_speakable(f"So it is:\n{text}", dialect).startswith(f"So it is:\n{text[:3]}")


@pytest.mark.parametrize(
    "words",
    [
        *("90 people came.", "12 May 2020 was a Tuesday.", "2024 was good.", "3 men in a boat"),
        *(
            "90 and more came.",
            "7 swans",
            "100 Years of Solitude"[:3] + " pages",
            "5.",
            "1st place",
        ),
        *("The > 90 % rule", "So it was.", "In 90 % of cases", "3 Musketeers"),
    ],
)
def test_a_number_before_other_words_is_quoted(words: str) -> None:
    for dialect in (CHAT, TEXT):
        assert make_speakable(f"> {words}", dialect) == words


def test_a_line_below_a_quoted_one_is_quoted() -> None:
    assert (
        make_speakable("> It is\n> 90 % of it.\n\n> 90 %", TEXT) == "It is\n90 % of it.\n\n> 90 %"
    )

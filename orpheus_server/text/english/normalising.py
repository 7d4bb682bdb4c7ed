"""Rewrites English text so that gruut reads all of it.

gruut silently drops or mangles everything but plain words, numbers, prices, dates and times: "24/7"
gives nothing, "café" one syllable, "one,two" a single long word. Each rule rewrites one such case
into text that gruut reads; other text stays unchanged.

All rules take linear time: a repetition is bounded, or can start only where its run starts.
"""

import re
from collections.abc import Callable

from orpheus_server.text.english import (
    abbreviations,
    dates,
    fractions,
    glued,
    identifiers,
    measures,
    money,
    number_words,
    pauses,
    postal_addresses,
    ranges,
    signs,
    times,
    web_addresses,
)
from orpheus_server.text.english.characters import (
    plain_characters,
    plain_digits,
    plain_symbols,
)
from orpheus_server.text.english.emphasis import (
    lower_emphasis,
    shorten_drawn_out_words,
    spell_initials,
)
from orpheus_server.text.english.rules import apply_rules

# The order matters: rules rely on the results of earlier ones.
READINGS = (
    *web_addresses.RULES,
    *dates.RULES,
    *identifiers.RULES,
    *postal_addresses.RULES,
    *abbreviations.RULES,
    *times.RULES,
    *money.RULES,
    *ranges.RULES,
    *fractions.RULES,
    *measures.RULES,
    *signs.RULES,
)
REPAIRS = (*glued.ADDRESSES, *pauses.RULES, *glued.SIGNS, *glued.LETTERS, *glued.RULES)


def spell_out(text: str) -> str:
    """Returns text without digits, signs and abbreviations, for voices that read letters.

    Accents, dashes and emphasis stay, because those voices read them in their own way.
    """
    plain = plain_symbols(apply_rules(plain_digits(text), READINGS))
    plain = apply_rules(plain, (*glued.ADDRESSES, *glued.SIGNS))
    plain = shorten_drawn_out_words(plain, lambda word: False)
    plain = apply_rules(apply_rules(plain, glued.LETTERS), number_words.RULES)
    return text if plain == text else re.sub(r" {2,}", " ", plain).strip(" ")


def normalise(text: str, *, is_word: Callable[[str], bool]) -> str:
    """Returns text that gruut reads completely. `is_word` looks a lower-case word up."""
    plain = apply_rules(plain_digits(text), READINGS)
    plain = apply_rules(plain_characters(plain_symbols(plain)), REPAIRS)
    plain = shorten_drawn_out_words(plain, is_word)
    plain = spell_initials(lower_emphasis(plain, is_word), is_word)
    # Spaces are cleaned up only if a rule may have added some.
    return text if plain == text else re.sub(r" {2,}", " ", plain).strip(" ")

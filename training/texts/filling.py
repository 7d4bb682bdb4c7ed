"""Fills the gaps of frames with common words, names and numbers."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random

from training.texts import common_words, lists, numbers
from training.texts.decency import is_decent
from training.texts.grammar import capitalise, choose_articles, plural

Filler = Callable[[Random], str]

GAP = re.compile(r"\{(\w+)\}")
# A gap that repeats a word of the same sentence is drawn again, at most so often.
MAX_TRIES = 20


def build_fillers(nouns: Sequence[str]) -> dict[str, Filler]:
    """Returns what fills each gap of the frames, by the gap's name.

    `nouns` are WordNet's common ones, for gaps where any of them reads well.
    """
    options: Mapping[str, Sequence[str]] = {
        "noun": [noun for noun in nouns if is_decent(noun)],
        "thing": common_words.THINGS,
        "things": [*map(plural, common_words.THINGS)],
        "person": common_words.PERSONS,
        "persons": [*map(plural, common_words.PERSONS)],
        "animal": common_words.ANIMALS,
        "animals": [*map(plural, common_words.ANIMALS)],
        "food": common_words.FOODS,
        "topic": common_words.TOPICS,
        "adj": common_words.QUALITIES,
        "mood": common_words.MOODS,
        "weather": common_words.WEATHER,
        "adv": common_words.MANNERS,
        "verb": common_words.ACTIONS,
        "act": common_words.HANDLINGS,
        "name": lists.FIRST_NAMES,
        "city": lists.CITIES,
        "street": lists.STREETS,
        "place": lists.PLACES,
        "day": lists.DAYS,
        "month": lists.MONTHS,
        "teen": [numbers.cardinal(number) for number in range(13, 20)],
        "tens": numbers.TENS,
    }
    return {
        **{gap: partial(_choose, words) for gap, words in options.items()},
        "full_name": lambda rng: f"{rng.choice(lists.FIRST_NAMES)} {rng.choice(lists.SURNAMES)}",
        "title": lambda rng: f"{rng.choice(lists.TITLES)} {rng.choice(lists.SURNAMES)}",
        "n": lambda rng: numbers.random_number(rng, 2, 20),
        "many": lambda rng: numbers.random_number(rng, 21, 999),
        "tiny": lambda rng: numbers.random_number(rng, 2, 9),
        "thousands": lambda rng: numbers.random_number(rng, 1000, 20_000),
        "age": lambda rng: numbers.random_number(rng, 3, 99),
        "number": numbers.random_any_number,
        "ordinal": numbers.random_ordinal,
        "price": numbers.random_price,
        "percent": numbers.random_percent,
        "decimal": numbers.random_decimal,
        "temperature": numbers.random_temperature,
        "million": numbers.random_million,
        "phone": lambda rng: numbers.random_digits(rng, 3, 4),
        "digits": lambda rng: numbers.random_digits(rng, rng.randint(3, 6)),
        "time": numbers.random_time,
        "year": numbers.random_year,
        "month_day": numbers.random_month_day,
        "date": numbers.random_date,
    }


def fill(frame: str, fillers: Mapping[str, Filler], rng: Random) -> str:
    """Returns the frame as a sentence; two gaps of one kind get different words."""
    used: set[str] = set()

    def draw(gap: re.Match[str]) -> str:
        for _ in range(MAX_TRIES):
            word = fillers[gap[1]](rng)
            if word not in used:
                break
        used.add(word)
        return word

    text = choose_articles(GAP.sub(draw, frame))
    # "at 7 p.m.": the abbreviation's dot is the full stop as well.
    return capitalise(text).replace(".m..", ".m.")


def _choose(words: Sequence[str], rng: Random) -> str:
    return rng.choice(words)

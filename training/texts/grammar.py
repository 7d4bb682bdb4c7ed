"""Small rules of English for filled frames: capitals, articles, plurals, lists."""

import re
from collections.abc import Sequence

ARTICLE = re.compile(r"\b(a|A)\(n\) (\S+)")
VOWEL_SOUND = re.compile(
    r"(?:[aeio]|u(?!ni(?!n|m)|s[aeu]|til|ran|biq)|hones|hono|hour|heir|8|11\b|18\b)", re.IGNORECASE
)
# They begin with a vowel and sound like "you" or "won".
CONSONANT_SOUND = re.compile(r"(?:eu|ewe|one\b|once|one-)", re.IGNORECASE)

IRREGULAR_PLURALS = {
    **{"man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet"},
    **{"tooth": "teeth", "goose": "geese", "mouse": "mice", "ox": "oxen", "louse": "lice"},
    **{"sheep": "sheep", "fish": "fish", "deer": "deer", "aircraft": "aircraft", "dice": "dice"},
    **{"knife": "knives", "wife": "wives", "life": "lives", "wolf": "wolves", "loaf": "loaves"},
    **{"shelf": "shelves", "leaf": "leaves", "half": "halves", "calf": "calves"},
    **{"thief": "thieves", "self": "selves", "elf": "elves", "hoof": "hooves", "scarf": "scarves"},
    **{"potato": "potatoes", "tomato": "tomatoes", "hero": "heroes", "echo": "echoes"},
    **{"mosquito": "mosquitoes", "passerby": "passersby", "series": "series", "works": "works"},
    **{"antenna": "antennas", "larva": "larvae", "alga": "algae", "squid": "squid"},
}
SIBILANT = re.compile(r".*(?:s|x|z|ch|sh)")
CONSONANT_Y = re.compile(r".*[^aeiou]y")


def capitalise(text: str) -> str:
    """Raises the first letter, after quotation marks if the text begins with them."""
    at = next((i for i, char in enumerate(text) if char.isalnum()), 0)
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


def choose_articles(text: str) -> str:
    """Replaces "a(n)" by the article that the next word needs."""
    return ARTICLE.sub(
        lambda match: f"{match[1]}{'n' * starts_with_vowel(match[2])} {match[2]}", text
    )


def starts_with_vowel(word: str) -> bool:
    """Whether the word's first sound is a vowel: "hour" does, "union" does not."""
    return bool(VOWEL_SOUND.match(word)) and not CONSONANT_SOUND.match(word)


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith("man") and noun not in ("human", "roman", "german", "shaman"):
        return f"{noun[:-3]}men"
    if SIBILANT.fullmatch(noun):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if CONSONANT_Y.fullmatch(noun) else f"{noun}s"


def enumerate_items(items: Sequence[str]) -> str:
    """Joins items as in "soup, bread, and tea"."""
    *first, last = items
    return f"{', '.join(first)}, and {last}"

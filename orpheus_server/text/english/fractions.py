"""Fractions: proper ones, and improper ones that cannot be a date or a ratio."""

import re

from orpheus_server.text.english.numerals import MAX_CARDINAL, cardinal, ordinal
from orpheus_server.text.english.rules import compile_rules

PARTS = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 8: "eighth"}
# Up to these a fraction may be a month and a day, unless one of the parts above.
MAX_MONTH, MAX_DAY = 12, 31
COMMON = frozenset((6, 7, 9, 10, 16))
MAX_PART = 1000
FIRST_YEAR, LAST_YEAR = 1000, 2100


def _plural(part: str, count: int) -> str:
    return part if count == 1 else "halves" if part == "half" else f"{part}s"


def is_year(number: int) -> bool:
    return FIRST_YEAR <= number <= LAST_YEAR


def _count(number: int) -> str:
    """Leaves the "and" of numbers out: in a fraction it stands between the whole and the part."""
    return cardinal(number).replace(" and ", " ")


def _part(number: int) -> str:
    return ordinal(number).replace(" and ", " ")


def is_fraction(top: int, bottom: int, *, after_preposition: bool) -> bool:
    if not 0 < bottom <= MAX_PART or not top:
        return False
    if top >= bottom:
        return bottom in PARTS and MAX_MONTH < top < 100
    if bottom in PARTS and top < 10:
        return True
    may_be_date = top <= MAX_MONTH and bottom <= MAX_DAY
    return not may_be_date or (
        bottom in COMMON and not after_preposition and (top, bottom) != (9, 11)
    )


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match["whole"] or "", int(match["top"]), int(match["bottom"])
    after_preposition = bool(match["preposition"])
    if (
        top > MAX_DAY
        and (bottom == 1 or bottom > MAX_PART)
        and not (is_year(top) and is_year(bottom))
    ):
        words = f"{_count(top)} over {_count(bottom)}"
        return f"{match['preposition'] or ''}{whole}{'and ' if whole else ''}{words}"
    if not is_fraction(top, bottom, after_preposition=after_preposition):
        return f"{match['preposition'] or ''}{whole}{match['top']} {match['bottom']}"
    part = PARTS.get(bottom) or _part(bottom)
    words = f"{_count(top)} {_plural(part, top)}"
    return f"{match['preposition'] or ''}{whole}{'and ' if whole else ''}{words}"


def _ordinal_fraction(match: re.Match[str]) -> str:
    """1/4th is "one fourth", not "one quarter"."""
    whole, top, bottom = match["whole"] or "", int(match["top"]), int(match["bottom"])
    if not 1 < bottom <= MAX_CARDINAL:
        return match[0]
    return f"{whole}{'and ' if whole else ''}{_count(top)} {_plural(_part(bottom), top)}"


_SIMPLE = r"(?:1/(?:2|3|4|8|16)|3/(?:4|8|16)|2/3|[57]/(?:8|16))(?![\d/])"
RULES = compile_rules(
    # Blood pressure.
    (r"(?<![\w.,/-])(\d{2,3}) ?/ ?(?=\d{2,3} ?mm ?Hg\b)", r"\1 over "),
    (r"(?i)(?<=\bblood pressure (?:of|is) )(\d{2,3}) ?/ ?(?=\d{2,3}(?![\d/]))", r"\1 over "),
    # "1/f" and "2/n"; s, h and d are units of time.
    (r"(?<![\w./,-])(\d{1,3})/([a-z])(?<![shdm])(?![\w/.'’-])", r"\1 over \2"),
    # "1-1/2 cups", "1/2 - 3/4", "1 / 2".
    (rf"(?<![\w./,-])([1-9]\d?)-(?={_SIMPLE})", r"\1 "),
    (rf"(?<=\d/\d) ?[-–] ?(?={_SIMPLE})", " to "),
    (
        r"(?i)(?<!page )(?<!part )(?<!step )(?<![\d/.,])(?:(1) / ([234])|(2) / (3)|(3) / (4))"
        r"(?![\w/.,]| /)",
        lambda match: "/".join(filter(None, match.groups())),
    ),
    (
        r"(?<![\d/.,])(?P<whole>\d{1,3} )?(?<!\d)(?P<top>\d{1,5})/(?P<bottom>\d{1,5})"
        r"(?i:st|nds?|rds?|ths?)\b",
        _ordinal_fraction,
    ),
    (
        r"(?P<preposition>\b(?:[Oo]n|[Bb]y|[Uu]ntil|[Ss]ince|[Ff]rom) )?"
        r"(?<![\d/.,])(?<![A-Za-z]-)(?P<whole>\d{1,3} )?"
        r"(?<!\d)(?P<top>\d{1,9})/(?P<bottom>\d{1,9})(?![\d/])",
        _fraction,
    ),
)

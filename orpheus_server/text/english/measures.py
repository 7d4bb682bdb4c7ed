"""Numbers with a unit, a rate or a percentage, and how numbers are written in other countries."""

import re

from orpheus_server.text.english.rules import any_of, compile_rules
from orpheus_server.text.english.units import LENGTHS, ONE_LETTER, PERIODS, UNITS, grouped, singular

AREAS = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}
COMPASS = {"N": "north", "S": "south", "E": "east", "W": "west"}
LARGE = {"mn": "million", "bn": "billion", "tn": "trillion"}
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_SCALES = "hundred|thousand|million|billion|trillion"
_COUNTED = rf"\d[\d.,]*(?:[⁻⁺]?[{_SUPERSCRIPTS}]{{1,9}})?(?: (?:{_SCALES})(?= ))?"
_FRACTION = r"\b(?:one|two|three|four|five|seven) (?:half|thirds?|quarters?|fifths?|eighths?)(?= )"
# With a space between, "k" does not stand for thousands.
_UNIT = rf"[ -]?(?P<unit>{any_of(UNITS)})|(?P<letter>{any_of(ONE_LETTER)}| [mghsWVL])"


def _joined(match: re.Match[str]) -> str:
    return f"{int(re.sub(r'[^0-9]', '', match[0])):,}"


def _joined_if_thousands(match: re.Match[str]) -> str:
    """Joins "10 000" and "1 234 567"; "123 456" may be something else."""
    first, *others = match[0].split(" ")
    is_number = others[-1] == "000" or (len(others) > 1 and len(first) < 3)
    return ",".join((first, *others)) if is_number else match[0]


def _named(symbol: str, exponent: str | None) -> str:
    return AREAS.get(exponent or "", "") + (UNITS.get(symbol) or ONE_LETTER[symbol])


def _divisor(match: re.Match[str]) -> str:
    symbol, exponent = match["divisor"], match["divisor_exponent"]
    if symbol in LENGTHS and exponent:
        return f" per {singular(_named(symbol, exponent))}"
    known = UNITS.get(symbol) or ONE_LETTER.get(symbol)
    name = PERIODS.get(symbol) or (singular(known) if known else symbol)
    return f" per {name}" + {"²": " squared", "2": " squared"}.get(exponent or "", "")


def _measure(match: re.Match[str]) -> str:
    symbol, exponent = match["unit"] or match["letter"].strip(), match["exponent"]
    if exponent and symbol not in LENGTHS:
        return match[0]
    number = match["number"]
    if re.fullmatch(r"\d{1,9},\d{1,2}", number):
        number = number.replace(",", ".")
    name = _named(symbol, exponent)
    number = grouped(number)
    if number == "1" or (number[0].isalpha() and not match["whole"]):
        name = singular(name)
    return f"{number} {name}" + (_divisor(match) if match["divisor"] else "")


_BEFORE_SECOND_SIDE = "(?= ?(?:x|×|by|long|wide|high|tall|deep|thick|across)\\b)"
RULES = compile_rules(
    (r"\b(sq|cu)\. ?(?=(?:ft|in|yd|mi|m|km|cm)\b)", r"\1 "),
    (r"(?<=[\d\s]sq ft|[\d\s]sq in|[\d\s]cu ft)\.(?= [a-z])", ""),
    # Inches: "5 in x 7 in", "3/4 in", and a quotation mark after a fraction or after feet.
    (
        rf"(?<=\d) ?in\b\.?{_BEFORE_SECOND_SIDE}|(?<=(?:x|×|y) \d) in\b(?! [a-z])"
        r"|(?<=(?:x|×|y) \d\d) in\b(?! [a-z])",
        " inches",
    ),
    (
        r"(?:(?<=one half)|(?<=quarters)|(?<=eighths)|(?<=teenths)) in\b\.?"
        r"(?=[,;)]|\.?$| (?:x|by)\b)",
        " inch",
    ),
    (
        r"(?<![\w.,:/'’-])(\d{1,2})['’] ?(\d{1,2}(?:\.\d)?)(?:\"|”|''|’’)(?!\w)",
        lambda match: f"{match[1]} foot {match[2]} inch{'es' * (match[2] != '1')}",
    ),
    (r"(?<![\w.])(\d{1,3}(?:\.\d)?)\" ?[x×] ?(\d{1,3}(?:\.\d)?)\"(?!\w)", r"\1 by \2 inches"),
    # After an article: "a 12" pizza". A quotation may also have begun in an earlier sentence.
    (r"(?<!\")\b(an?|the|my|your|this|each) (\d{1,3}(?:\.\d)?)\"(?= [a-z])", r"\1 \2 inch"),
    (r"(?<=\d)\"(?= ?[x×] ?\d|[ -](?:monitor|screen|TV|display|tablet|pipe|nails?)\b)", " inch"),
    (r"° ?([NSEW])(?!\w)", lambda match: f" degrees {COMPASS[match[1]]}"),
    # 1.234.567,89
    (
        r"(?<![\w.,])(\d{1,3}(?:\.\d{3}){1,4}),(\d{1,2})(?![\w.,])",
        lambda match: f"{int(match[1].replace('.', '')):,}.{match[2]}",
    ),
    (r"(?<=\d) ?º", "°"),
    # Thousands with apostrophes, spaces, and as in India; decimal commas.
    (r"(?<![\w.,'’])\d{1,3}(?:['’]\d{3}){1,4}(?![\w'’])", _joined),
    (r"(?<![\w.,])(?<!\d )[1-9]\d{0,2}(?: \d{3}){1,4}(?!\w| \d|[.,]\d)", _joined_if_thousands),
    (r"(?<![\w.,])\d{1,2}(?:,\d\d){1,4},\d{3}(?![\w,])", _joined),
    (rf"(?<![\w.,])(\d{{1,9}}),(\d{{1,2}})(?= ?[%°]| (?:{_SCALES}|percent)\b)", r"\1.\2"),
    (
        rf"(?:(?<![\d.,/:])(?P<number>{_COUNTED}|(?P<whole>(?<=\d )and )?{_FRACTION}))(?:{_UNIT})"
        r"(?P<exponent>[²³]|[23](?!\d))?"
        r"(?: ?/ ?(?P<divisor>μ?[A-Za-z]{1,12}|Ω)(?P<divisor_exponent>[²³]|[23](?!\d))?)?"
        r"(?![\w'’])",
        _measure,
    ),
    (
        rf"(?<=\d)(?P<thing> ?[a-z]{{1,12}})?/(?P<period>{any_of(PERIODS)})(?![\w/])",
        lambda match: f"{match['thing'] or ''} per {PERIODS[match['period']]}",
    ),
    (r"(?<=liters)(?:/| per )100 ?km\b", " per one hundred kilometers"),
    (r"(?<=(?:ters|ches|feet|foot|ards|iles)) [x×] ?(?=\d)", " by "),
    # Feet and inches, and units with a stop that ends no sentence.
    (r"(?<=\bfeet )(\d{1,2}) ?in\b\.?", r"\1 inches"),
    (r"(?<=\bfoot )(\d{1,2}) ?in\b\.?", r"\1 inches"),
    (r"(?<=\d) (minutes|seconds|hours|feet|pounds|ounces|years|weeks|miles)\.(?= [a-z])", r" \1"),
    (r"(?<![\w.,])(\d{1,15}\.\d{1,3}|\d{2,3})M(?![\w'’])", r"\1 million"),
    (r"(?<![\w.,])(\d{1,15}\.\d{1,3})B(?![\w'’])", r"\1 billion"),
    (
        r"(?<![\w.,])(\d[\d,]{0,15}(?:\.\d{1,3})?) ?(mn|bn|tn)(?![\w'’])",
        lambda match: f"{match[1]} {LARGE[match[2]]}",
    ),
    (r"(?<![\w.,°])1 ?° ?C\b", "1 degree Celsius"),
    (r"(?<![\w.,°])1 ?° ?F\b", "1 degree Fahrenheit"),
    (r"(?<![\w.,°])1 ?°(?! ?[CFNSEW])", "1 degree"),
    (r"(?<=\d)[”″]", " inches"),
    # gruut guesses "kiloohms" as one strange word.
    (r"\b(kilo|mega|milli)(ohms?)\b", r"\1 \2"),
)  # fmt: skip

"""Rewrites English text so that gruut reads all of it.

gruut silently drops or mangles everything but plain words, numbers, prices, dates and times: "24/7"
gives nothing, "café" one syllable, "one,two" a single long word. Each rule rewrites one such case
into text that gruut reads; other text stays unchanged.

All rules take linear time: a repetition is bounded, or can start only where its run starts.
"""

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby

# Letters that Unicode does not decompose, and look-alikes of characters in the rules.
CHARACTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i", "−": "-", "‐": "-"}
    | {"‑": "-", "‒": "–", "―": "—", "…": "...", "²": " squared ", "³": " cubed ", "¢": " cents "}
    | {"×": " times ", "÷": " divided by "}
    | {"≈": " about ", "≠": " is not ", "≤": " at most ", "≥": " at least "}
    | {"±": " plus or minus ", "√": " root of "}
)
FRACTION_SLASH = "\u2044"

CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₹": "rupees", "₩": "won"}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
SCALES |= {"t": "trillion", "tn": "trillion"}
UNITS = {"km/h": "kilometers per hour", "mph": "miles per hour", "km": "kilometers", "ft": "feet"}
UNITS |= {"cm": "centimeters", "mm": "millimeters", "kg": "kilograms", "mg": "milligrams"}
UNITS |= {"ml": "milliliters", "oz": "ounces", "lbs": "pounds", "lb": "pounds", "min": "minutes"}
UNITS |= {"KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes"}
UNITS |= {"Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz"}
# Only directly after a number, because "5 m" is ambiguous.
GLUED_UNITS = {"m": "meters", "g": "grams", "h": "hours", "s": "seconds", "k": "thousand"}
SINGULAR = {"feet": "foot", "hertz": "hertz", "gigahertz": "gigahertz", "thousand": "thousand"}
PARTS = {"2": "half", "3": "third", "4": "quarter", "5": "fifth", "8": "eighth"}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven")
TENS = ["hundreds", "tens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies"]
TENS += ["eighties", "nineties"]

OPENING = frozenset("([{<“‘«$£€¥₹₩")
# Single marks within a word or number that gruut reads or that have their own rule.
INNER = frozenset("'’-.,:/")
# gruut reads these as numbers, and "I" as "i".
ROMAN = frozenset(("I", "II", "III", "IV", "VI", "VII", "VIII"))
# Shorter words in capitals are usually initials (IT, US, WHO), not emphasis.
MIN_LONE_CAPITALS = 4


def _stop(match: re.Match[str]) -> str:
    """Reduces several stops to one; dots within a sentence become a comma."""
    stops, following = match.groups()
    stop = "?" if "?" in stops else "!" if "!" in stops else "," if following.islower() else "."
    return stop + " " * match.string[match.end() : match.end() + 1].isalnum()


def _dash(match: re.Match[str]) -> str:
    """Turns a dash into a comma, or removes it next to a stop or at either end."""
    before = match.string[: match.start()][-1:]
    after = match.string[match.end() :][:1]
    if before in {"", *"\n.,;:!?“‘(["} or after in {"", *"\n.,;:!?"}:
        return " " if before and after.isalnum() else ""
    return "," if after in {*'"”’)]'} else ", "


def _unglue(match: re.Match[str]) -> str:
    marks = match[0]
    if marks in INNER:
        return marks
    at = next((i for i, mark in enumerate(marks) if mark in OPENING), len(marks))
    return f"{marks[:at]} {marks[at:]}"


def _address(match: re.Match[str]) -> str:
    body = match[1].rstrip(".,;:!?)'’")
    spoken = body.replace("www.", "W W W.").replace(".", " dot ").replace("/", " slash ")
    return re.sub(r"[^\w ]", " ", spoken) + match[1][len(body) :]


def _money(match: re.Match[str]) -> str:
    """gruut reads "$3 million" as "three dollars million"."""
    number, scale = match["number"], (match["scale"] or "").strip(" -").lower()
    words = (number, SCALES.get(scale, scale), CURRENCIES[match["sign"]])
    return " ".join(filter(None, words))


def _fraction(match: re.Match[str]) -> str:
    """Returns a simple fraction as words, and others (24/7, 9/11) as two numbers."""
    whole, top, bottom = match["whole"] or "", match["top"], match["bottom"]
    if bottom not in PARTS or not ("1" <= top < bottom and len(top) == 1):
        return f"{whole}{top} {bottom}"
    part = PARTS[bottom] if top == "1" else PARTS[bottom] + "s"
    return f"{whole}{'and ' if whole else ''}{DIGITS[int(top)]} {part}"


def _dotted(match: re.Match[str]) -> str:
    """Rewrites grouped thousands, dates (with dots the day comes first) and versions."""
    first, *others = match[0].split(".")
    if len(first) <= 3 and all(len(part) == 3 for part in others) and others[-1] == "000":
        return first + "".join(others)
    if len(first) <= 2 and [len(part) for part in others] == [2, 4] and "01" <= others[0] <= "12":
        return f"{others[1]}-{others[0]}-{first.zfill(2)}"
    return " point ".join((first, *others))


def _decade(match: re.Match[str]) -> str:
    """Rewrites 1990s, 80s and 80's, of which gruut reads only the "s"."""
    century, ten = match["century"] or "", int(match["ten"])
    if ten == 0 and century.endswith("0"):
        return f"{century[0]} thousands"
    return f"{century} {TENS[ten]}".lstrip()


def _unit(match: re.Match[str]) -> str:
    name = UNITS[match["unit"]] if match["unit"] else GLUED_UNITS[match["glued"]]
    if match["number"] == "1":
        first, *rest = name.split(" ")
        name = " ".join((SINGULAR.get(first, first.removesuffix("s")), *rest))
    return f"{match['number']} {name}"


# The order matters: rules rely on the results of earlier ones.
RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(?:https?://|(?=www\.))([^\s<>\"“”]+)", _address),
        (r"(?<=[a-z]{2})\.(?=[a-z]{2})|(?<=@[a-z])\.(?=[a-z]{2})", " dot "),  # example.com, node.js
        (r" ?@ ?", " at "),
        (r"\bPh\.D\b", "P.H.D"),
        # Stops and pauses. The lookbehind spares the dot of "U.S.?".
        (r"(?<!\.[A-Za-z])([.!?]{2,})(?=\s{0,2}[\"”’)]?\s?(\w?))", _stop),
        (r"(?<=\.[A-Za-z]\.)(?=[!?])", " "),  # gruut reads "U.S.?" as one word
        (r"(?<=[\d%]) ?– ?(?=[$£€¥]?\d)|(?<=\d)-(?=[$£€¥]\d)", " to "),
        (r"(?<!-)--(?:-(?!-)|(?!-))", "—"),
        (r" ?[–—]+ ?", _dash),
        (r"(?<=[a-z]{2})\.(?=[A-Z])|(?<=[a-z])\.(?=[A-Z][a-z])", ". "),
        (r"(?<=[^\W_])[,:](?=[^\W\d_])|(?<=[^\W\d_])[,:](?=\d)", r"\g<0> "),
        (r"(?<=\d),(?=\d)(?!\d{3}(?!\d))", ", "),  # no thousands: gruut would read 1,2 as 12
        # Signs.
        (r"(?<=[\d&])A\b\.?", " A."),  # with a dot gruut reads a letter, without it the article
        (r"\bA(?=[\d&])", "A. "),
        (r" ?& ?", " and "),
        (r"(?<=[\w)]) {0,2}= ?(?=[\w(-])", " equals "),
        (r"(?<=\d) ?\+ ?|\+(?=\d)|(?<=\w) {1,2}\+ (?=\w)", " plus "),
        (r"#(?=\d)", " number "),
        (r"~(?=\d)", " about "),
        (r"(?<=\d) %", "%"),
        (r" ?° ?C\b", " degrees Celsius"),
        (r" ?° ?F\b", " degrees Fahrenheit"),
        (r" ?°", " degrees"),
        # Money.
        (r"(?<![\d.,])(\d[\d.,]*) ?([$£€¥])(?!\d)", r"\2\1"),
        (r"(?<!\w)-(?=[$£€]\d)", "minus "),
        (
            r"(?P<sign>[$£€¥₹₩]) ?(?P<number>\d[\d,]*(?:\.\d+)?)"
            r"(?P<scale>(?:[kKmMbBtT]|[mMbBtT]n|[ -]?(?:thousand|million|billion|trillion))\b)",
            _money,
        ),
        (r"(?P<sign>[¥₹₩]) ?(?P<number>\d[\d,]*(?:\.\d+)?)(?P<scale>)", _money),
        # Numbers.
        (r"(?<![\d.])\d+(?:\.\d+){2,}(?!\d)", _dotted),
        (
            r"(?<![\d/.,])(?P<whole>\d{1,3} )?(?<!\d)(?P<top>\d+)/(?P<bottom>\d+)(?![\d/])",
            _fraction,
        ),
        (r"(?<![\w.,:])(?:(?P<century>[1-9]\d)|(?=[2-9]))(?P<ten>\d)0['’]?s(?!\w)", _decade),
        (
            r"(?<![\d.,/:])(?P<number>\d[\d.,]*)"
            rf"(?:[ -]?(?P<unit>{'|'.join(UNITS)})|(?P<glued>[mghsk]))(?![\w'’])",
            _unit,
        ),
        (r"(?<=\d)(?:ST|ND|RD|TH)\b", lambda match: match[0].lower()),
        (r"(?<=\d)(st|nd|rd|th)-(?=\w)", r"\1 "),  # gruut drops what follows: "20th-century"
        (r"(?<=\d)(?<!\b0)x(?=\d)", " by "),
        (r"(?<=\d)['’](?=\d)", " foot "),
        (r"(?<=\d)(?!(?:st|nd|rd|th|(?i:[ap]\.?m))\b)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", " "),
        # Any other mark between two words.
        (r"(?<=[^\W\d_])/(?=\w)|(?<=\w)/(?=[^\W\d_])", " "),
        (r"(?<=\w)[^\w\s]+(?=\w)", _unglue),
    )
)
CAPITALS = re.compile(r"[A-Z]{2}")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


def normalise(text: str, *, is_word: Callable[[str], bool]) -> str:
    """Returns text that gruut reads completely. `is_word` looks a lower-case word up."""
    plain = text if text.isascii() else "".join(map(_plain_character, text.translate(CHARACTERS)))
    for pattern, replacement in RULES:
        plain = pattern.sub(replacement, plain)
    if CAPITALS.search(plain):
        plain = _lower_emphasis(plain, is_word)
    # Spaces are cleaned up only if a rule may have added some.
    return text if plain == text else re.sub(r" {2,}", " ", plain).strip(" ")


def _plain_character(char: str) -> str:
    """Removes accents from Latin letters; turns digits of any script into 0-9, and ½ into 1/2."""
    if char.isascii():
        return char
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Mn" and char <= "\u036f":
        return ""
    if category == "No" or (category[0] in "LN" and "LATIN" in unicodedata.name(char, "")):
        letters = unicodedata.normalize("NFKD", char).replace(FRACTION_SLASH, "/")
        bare = "".join(filter(lambda letter: not unicodedata.combining(letter), letters))
        return f" {bare}" if category == "No" else bare
    return char


def _lower_emphasis(text: str, is_word: Callable[[str], bool]) -> str:
    """Lower-cases known words in capitals, if two in a row or long, since gruut spells them."""

    def is_raised(match: re.Match[str]) -> bool:
        word = match[0].replace("’", "'")
        return word.isupper() and (word in ROMAN or is_word(word.lower()))

    pieces, end = [], 0
    for raised, group in groupby(WORD.finditer(text), key=is_raised):
        run = list(group)
        lengths = [len(match[0]) for match in run if len(match[0]) > 1 and match[0] not in ROMAN]
        if raised and (len(lengths) > 1 or max(lengths, default=0) >= MIN_LONE_CAPITALS):
            for match in run:
                word = match[0] if match[0] in ROMAN else match[0].lower()
                pieces += [text[end : match.start()], word]
                end = match.end()
    return "".join((*pieces, text[end:]))

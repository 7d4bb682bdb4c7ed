"""Abbreviations with a stop: titles, references and words of addresses."""

import re

from orpheus_server.text.english.numerals import ROMAN, cardinal, ordinal, roman
from orpheus_server.text.english.rules import any_of, compile_rules

# Before a name.
TITLES = {"Gen": "General", "Col": "Colonel", "Lt": "Lieutenant", "Sgt": "Sergeant"}
TITLES |= {"Capt": "Captain", "Maj": "Major", "Cpl": "Corporal", "Prof": "Professor"}
TITLES |= {"Rev": "Reverend", "Sen": "Senator", "Rep": "Representative", "Gov": "Governor"}
TITLES |= {"Pres": "President", "Cmdr": "Commander", "Adm": "Admiral", "Pvt": "Private"}
TITLES |= {"Supt": "Superintendent", "Insp": "Inspector", "Det": "Detective", "Hon": "Honorable"}
TITLES |= {"Amb": "Ambassador", "Fr": "Father", "Messrs": "Messieurs", "Ft": "Fort"}
# Before a number.
REFERENCES = {"no": "number", "nos": "numbers", "nr": "number", "fig": "figure", "figs": "figures"}
REFERENCES |= {"vol": "volume", "vols": "volumes", "ch": "chapter", "chap": "chapter"}
REFERENCES |= {"p": "page", "pp": "pages", "pg": "page", "sec": "section", "sect": "section"}
REFERENCES |= {"art": "article", "eq": "equation", "eqs": "equations", "tab": "table"}
REFERENCES |= {"para": "paragraph", "ed": "edition", "ext": "extension", "apt": "apartment"}
REFERENCES |= {"rm": "room", "app": "appendix", "ver": "version", "ca": "circa", "op": "opus"}
REFERENCES |= {"approx": "approximately", "max": "maximum", "min": "minimum", "ep": "episode"}
# Anywhere; the stop is part of the word, and ends the sentence before a capital or at the end.
WORDS = {
    "approx": "approximately",
    "dept": "department",
    "est": "established",
    "govt": "government",
}
WORDS |= {"inc": "incorporated", "corp": "corporation", "bros": "brothers", "univ": "university"}
WORDS |= {"assn": "association", "intl": "international", "natl": "national", "tel": "telephone"}
WORDS |= {
    "ave": "avenue",
    "blvd": "boulevard",
    "hwy": "highway",
    "pkwy": "parkway",
    "apt": "apartment",
}
WORDS |= {"sr": "senior", "asst": "assistant", "misc": "miscellaneous", "incl": "including"}
WORDS |= {
    "excl": "excluding",
    "rd": "road",
    "vol": "volume",
    "cf": "compare",
    "mfg": "manufacturing",
}
WORDS |= {"mgr": "manager", "avg": "average", "qty": "quantity", "temp": "temperature"}
# Without the stop these are words of their own.
STREETS = {"St": "Street", "Dr": "Drive"}
# Words before "Dr." or "St." that start a sentence or are not the name of a street.
NOT_STREETS = frozenset(
    ("The", "A", "An", "And", "But", "Or", "Hello", "Hi", "Hey", "Dear", "Thanks", "Thank", "Yes")
    + (
        "No",
        "Oh",
        "Ask",
        "Call",
        "See",
        "Is",
        "Was",
        "Did",
        "Does",
        "Can",
        "Will",
        "Has",
        "In",
        "At",
    )
    + (
        "On",
        "To",
        "From",
        "By",
        "For",
        "With",
        "My",
        "Our",
        "Your",
        "His",
        "Her",
        "When",
        "If",
        "As",
    )
    + (
        "Then",
        "So",
        "Mr",
        "Mrs",
        "Ms",
        "I",
        "Of",
        "Near",
        "This",
        "That",
        "Visit",
        "While",
        "Since",
    )
    + ("Meet", "Tell", "Good", "After", "Before", "Even", "Today", "Yesterday", "Saw", "Said")
)
_SAINTS = any_of(
    ("Louis", "Paul", "Petersburg", "Helens", "Helena", "Patrick", "Francis", "Lucia", "Kitts")
    + ("John", "Johns", "Mary", "Peter", "George", "Andrew", "Andrews", "Moritz", "Augustine")
    + ("Joseph", "Thomas", "Catherine", "Nicholas", "Vincent", "Martin", "Pancras", "Albans")
    + ("Anne", "Ann", "James", "Mark", "Michael", "David", "Lawrence", "Bernard", "Charles")
    + ("Cloud", "Croix", "Tropez", "Barts", "Elmo", "Luke", "Matthew", "Stephen", "Valentine")
    + ("Teresa", "Clair", "Germain", "Jude", "Ives", "Pierre")
)
READ_BY_GRUUT = frozenset(("I", "II", "III", "IV", "VI", "VII", "VIII"))
SENTENCE_STARTS = frozenset(
    (
        "It",
        "It's",
        "The",
        "He",
        "She",
        "We",
        "They",
        "I",
        "In",
        "On",
        "At",
        "A",
        "An",
        "This",
        "That",
    )
    + (
        "There",
        "Then",
        "And",
        "But",
        "My",
        "You",
        "His",
        "Her",
        "Our",
        "Their",
        "Your",
        "What",
        "When",
    )
    + ("Where", "Who", "How", "Why", "If", "Is", "Are", "Do", "Did", "Please", "Turn", "Go", "To")
)
PARTS_OF_BOOKS = "part|chapter|section|volume|act|scene|book|phase|article|appendix|title|level"
# Rulers, whose numbers are ordinals.
RULERS = any_of(
    ("Henry", "Louis", "George", "Edward", "Richard", "William", "Charles", "James", "Philip")
    + ("Elizabeth", "Mary", "Francis", "Frederick", "Napoleon", "Nicholas", "Alexander", "Peter")
    + ("Catherine", "Ivan", "Pius", "Benedict", "Paul", "Leo", "Gregory", "Clement", "Innocent")
    + ("Urban", "Boniface", "Ramses", "Ptolemy", "Darius", "Cyrus", "Leopold", "Otto", "Wilhelm")
    + ("Ferdinand", "Alfonso", "Carlos", "Emmanuel", "Umberto", "Haakon", "Harald", "Gustav")
    + ("Christian", "Margaret", "Malcolm", "Constantine", "Mehmed", "Selim", "Xerxes", "Joseph")
    + ("Antiochus", "Casimir", "Albert", "Rudolf", "Maximilian", "Pedro", "Sixtus", "Julius")
    + ("Basil", "Adolf", "Amenhotep", "Thutmose", "Mithridates", "Sigismund", "Celestine")
)
# Words before "IV" where it is a drip.
NOT_NUMBERED = any_of(NOT_STREETS | {"Give", "Start", "Use", "Insert", "Hang", "Get", "Need"})


def _title(match: re.Match[str]) -> str:
    return TITLES[match[1]]


def _reference(match: re.Match[str]) -> str:
    word = REFERENCES[match["word"].lower()]
    return word.capitalize() if match["word"][0].isupper() else word


def _word(match: re.Match[str]) -> str:
    """Keeps the stop only where a sentence ends."""
    word = WORDS[match["word"].lower()]
    word = word.capitalize() if match["word"][0].isupper() else word
    following = match.string[match.end() :][:3].lstrip(" ")
    ends = not following or match.string[match.end() : match.end() + 1] == "\n"
    return word + "." * ends


def _street(match: re.Match[str]) -> str:
    """Keeps the stop only at the end of the text."""
    following = match.string[match.end() :].lstrip("\"'”’)")
    return STREETS[match["street"]] + ("" if following else ".")


def starts_sentence(text: str, at: int) -> bool:
    """Whether a word that often starts a sentence stands there."""
    word = re.compile(r"[A-Za-z']{0,12}").match(text, at)
    return word is not None and word[0] in SENTENCE_STARTS


def _saint(match: re.Match[str]) -> str:
    """After the name of a street, "St." is a street that ends a sentence."""
    before = match["before"] or ""
    word = before.strip()
    is_street = word[:1].isdigit() or (word[:1].isupper() and word not in NOT_STREETS)
    if not is_street:
        return f"{before}Saint "
    return f"{before}Street" + (". " if starts_sentence(match.string, match.end()) else " ")


def _roman(match: re.Match[str]) -> str:
    is_numeral = ROMAN.fullmatch(match["roman"].upper()) and not (
        match["roman"] in READ_BY_GRUUT and match["part"].islower()
    )
    return f"{match['part']} {cardinal(roman(match['roman'].upper()))}" if is_numeral else match[0]


def _ruler(match: re.Match[str]) -> str:
    if match["roman"] in READ_BY_GRUUT or not ROMAN.fullmatch(match["roman"]):
        return match[0]
    return f"{match['name']} the {ordinal(roman(match['roman']))}"


def _roman_ordinal(match: re.Match[str]) -> str:
    """Reads "XIXth" and "XXI century"."""
    return ordinal(roman(match[1])) if ROMAN.fullmatch(match[1]) else match[0]


RULES = compile_rules(
    # "Oak Dr." is a street, "Dr. Oak" a doctor.
    (
        rf"(?<![\w'’])(?P<name>(?!(?:{any_of(NOT_STREETS)})\b)[A-Z][a-z]{{1,20}}"
        r"|\d{1,3}(?:st|nd|rd|th)) "
        r"(?P<street>Dr)\.(?! ?[A-Z][a-z])",
        lambda match: f"{match['name']} {_street(match)}",
    ),
    (rf"\bSte?\.? (?=(?:{_SAINTS})\b)", "Saint "),
    (r"(?<![\w'’])(?P<before>[\w'’]{1,20} )?St\. (?=[A-Z][a-z])", _saint),
    (rf"\b({any_of(TITLES)})\.(?= ?[A-Z])", _title),
    (rf"(?i)\b(?P<word>{any_of(REFERENCES)})\. ?(?=\d)", lambda match: f"{_reference(match)} "),
    (rf"(?i)\b(?P<word>{any_of(WORDS)})\.(?![\w])", _word),
    (r"\btv\b", "TV"),
    (r"\bw/o\b", "without"),
    (r"\bw/(?= ?\w)", "with "),
    (r"(?<![\w/])b/c\b(?!/)", "because"),
    (r"\b401 ?(?:\(k\)|k\b)", "four oh one K"),
    (r"\ba\.k\.a\.", "A.K.A."),
    (r"\bWW(?:II|2)\b", "World War two"),
    (r"\bWW(?:I|1)\b", "World War one"),
    (r"\b([IVXLC]{2,8})(?:st|nd|rd|th)\b", _roman_ordinal),
    (r"\b((?!I\b)[IVXLC]{1,8})(?= centur(?:y|ies)\b)", _roman_ordinal),
    (rf"\b(?P<part>(?i:{PARTS_OF_BOOKS}))\s(?P<roman>ix|i{{2,3}}|iv|vi{{1,3}})\b(?!\.\w)", _roman),
    (
        r"\b(X{1,3}(?:IX|IV|VI{0,3}|I{1,3}|V))\b"
        r"(?= (?:Olympi[ac]|Winter|Summer|Congress|International|Paralympic|edition|Legion)\w*\b)",
        _roman_ordinal,
    ),
    (rf"\b(?P<part>(?i:{PARTS_OF_BOOKS}))\s(?P<roman>(?!I\b)[IVXLC]{{1,8}})\b(?!\.[A-Z])", _roman),
    (
        rf"\b(?P<name>{RULERS}) (?P<roman>[IVX]{{2,6}}\b|(?<!Malcolm )[VX]\b(?!\. ?[A-Z]))",
        _ruler,
    ),
    (r"\b(?P<part>World War) (?P<roman>II?)\b", _roman),
    (
        rf"(?P<part>\b(?!(?:{RULERS})\b)[A-Z][a-z]{{2,15}}) "
        r"(?P<roman>X[IVX]{1,6}|II|III|VII|VIII|IX)\b",
        _roman,
    ),
    (
        rf"(?P<part>\b(?!(?:{NOT_NUMBERED}|{RULERS})\b)[A-Z][a-z]{{2,15}}) (?P<roman>IV|VI)\b"
        r"(?! (?:drip|line|fluid|bag|pole|drug|anti|therap|infus|inject|access|catheter))",
        _roman,
    ),
    (r"\b(?P<part>Super Bowl) (?P<roman>(?!I\b)[IVXLC]{1,8})\b", _roman),
)  # fmt: skip

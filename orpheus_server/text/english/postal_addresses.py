"""Postal addresses: house numbers, words for streets, states and their ZIP codes."""

import re

from orpheus_server.text.english.abbreviations import starts_sentence
from orpheus_server.text.english.numerals import cardinal, digits, pairs
from orpheus_server.text.english.rules import any_of, compile_rules

STREETS = {"St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane"}
STREETS |= {"Ct": "Court", "Dr": "Drive", "Pl": "Place", "Hwy": "Highway", "Expy": "Expressway"}
STREETS |= {"Pkwy": "Parkway", "Sq": "Square", "Ter": "Terrace", "Cir": "Circle"}
DIRECTIONS = {"N": "North", "S": "South", "E": "East", "W": "West", "NE": "Northeast"}
DIRECTIONS |= {"NW": "Northwest", "SE": "Southeast", "SW": "Southwest"}
STATES = {
    **{"AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California"},
    **{"CO": "Colorado", "CT": "Connecticut", "DE": "Delaware", "DC": "D C", "FL": "Florida"},
    **{"GA": "Georgia", "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana"},
    **{"IA": "Iowa", "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine"},
    **{"MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota"},
    **{"MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada"},
    **{"NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York"},
    **{"NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma"},
    **{"OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island", "SC": "South Carolina"},
    **{"SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont"},
    **{"VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin"},
    "WY": "Wyoming",
}
_STREET_BY_NAME = {name.lower(): spoken for name, spoken in STREETS.items()}


def house_number(text: str) -> str:
    """Reads "123" as "one twenty three" and "708" as "seven zero eight"."""
    number = int(text)
    if len(text) == 3 and 0 < number % 100 < 10:
        return digits(text)
    return pairs(number) if 2 < len(text) < 5 else cardinal(number)


def _street(match: re.Match[str]) -> str:
    direction = match["direction"]
    parts = (
        house_number(match["number"]),
        DIRECTIONS[direction] if direction else "",
        match["name"],
        _STREET_BY_NAME[match["street"].lower()],
    )
    # The stop of the abbreviation ends the sentence only at its end.
    at = match.end()
    is_end = at == len(match.string) or starts_sentence(match.string, at + 1)
    stop = "." if match["stop"] and is_end else ""
    return " ".join(filter(None, parts)) + stop


def _state(match: re.Match[str]) -> str:
    return f"{match['before']}{STATES[match['state']]}{match['comma']} {digits(match['zip'])}"


RULES = compile_rules(
    (
        r"(?<![\w.,$£€#:/-])(?P<number>\d{1,5}) (?:(?P<direction>[NS][EW]?|[EW])\.? )?"
        r"(?P<name>(?:[A-Z][a-z]{1,20}|\d{1,3}(?:st|nd|rd|th))(?: [A-Z][a-z]{1,20}){0,2}) "
        rf"(?P<street>(?i:{any_of(STREETS)}))\b(?P<stop>\.)?"
        rf"(?! ?[A-Z][a-z]{{1,20}} (?i:{any_of(STREETS)})\b)",
        _street,
    ),
    (
        rf"(?P<before>, |\b[A-Z][a-z]{{1,20}} )(?P<state>{any_of(STATES)})(?P<comma>,?) "
        r"(?P<zip>\d{5})(?:-\d{4})?(?![\w-])",
        _state,
    ),
)

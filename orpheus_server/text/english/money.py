"""Amounts of money, which gruut reads only as dollars and cents."""

import re

from orpheus_server.text.english.numerals import decimal
from orpheus_server.text.english.rules import any_of, compile_rules

CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yen", "₹": "rupees", "₩": "won"}
CURRENCIES |= {"₽": "rubles", "₴": "hryvnias", "₺": "liras", "₿": "bitcoins", "₫": "dong"}
CURRENCIES |= {"₪": "shekels", "₱": "pesos", "฿": "baht", "₦": "nairas", "₡": "colones"}
# Currencies that gruut cannot read at all, or reads in the singular.
READ_HERE = "".join(sign for sign in CURRENCIES if sign != "$")
CODES = {"EUR": "euros", "GBP": "pounds", "USD": "US dollars", "JPY": "yen", "CHF": "Swiss francs"}
CODES |= {"CAD": "Canadian dollars", "AUD": "Australian dollars", "INR": "rupees"}
CODES |= {"CNY": "yuan", "SEK": "Swedish kronor", "NOK": "Norwegian kroner", "RUB": "rubles"}
SUBUNITS = {"$": "cents", "€": "cents", "£": "pence"}
INVARIABLE = {"yen", "won", "dong", "baht"}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion"}
SCALES |= {"t": "trillion", "tn": "trillion"}
SIGN = f"[{''.join(CURRENCIES)}]"
PERIODS = {"mo": "month", "wk": "week", "hr": "hour", "h": "hour", "yr": "year", "y": "year"}
PERIODS |= {"d": "day", "min": "minute", "s": "second", "sec": "second", "m": "month"}
PERIODS |= {"kg": "kilogram", "g": "gram", "lb": "pound", "oz": "ounce", "l": "liter", "L": "liter"}
PERIODS |= {"km": "kilometer", "mi": "mile", "GB": "gigabyte", "MB": "megabyte", "TB": "terabyte"}
PERIODS |= {"kWh": "kilowatt hour", "MWh": "megawatt hour", "ft": "foot", "gal": "gallon"}
PERIODS |= {"sqft": "square foot", "m²": "square meter", "pc": "piece", "pp": "person"}

_NUMBER = r"\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,9})?(?!\d)|\d{1,15}(?:\.\d{1,9})?"
_SCALE = (
    r"(?:[kKmMbBtT]|[mMbBtT]n|[ -]?(?:thousand|million|billion|trillion|mn|bn)| [bB])(?![\w'’])"
)


def singular(currency: str) -> str:
    return currency if currency in INVARIABLE else currency.removesuffix("s")


_NAMES = any_of({*CURRENCIES.values(), *map(singular, CURRENCIES.values()), "cents", "pence"})


def _continental(match: re.Match[str]) -> str:
    """Rewrites 1.234,56 with a decimal point."""
    return f"{int(match['whole'].replace('.', '')):,}.{match['part']}"


def _scaled(match: re.Match[str]) -> str:
    """gruut reads "$3 million" as "three dollars million"."""
    scale = match["scale"].strip(" -").lower()
    return f"{match['number']} {SCALES.get(scale, scale)} {CURRENCIES[match['sign']]}"


def _range(match: re.Match[str]) -> str:
    """Reads "$10-15" as "10 to 15 dollars", and keeps the sign of amounts with cents."""
    sign, first, last = match["sign"], match["first"], match["last"]
    scale = (match["scale"] or "").strip(" -").lower()
    if not scale and (match["second"] or "." in first + last):
        return f"{sign}{first} to {sign}{last}"
    return " ".join(filter(None, (first, "to", last, SCALES.get(scale, scale), CURRENCIES[sign])))


def _amount(match: re.Match[str]) -> str:
    """Reads an amount: "3 euros 20", "2 cents", "1.111 pounds"."""
    sign, (whole, _, part) = match["sign"], match["number"].partition(".")
    name = CURRENCIES[sign]
    subunit = SUBUNITS.get(sign)
    units = int(whole.replace(",", "") or 0)
    if len(whole) == 4 and whole[2:] != "00":
        # Without the comma gruut reads a year.
        whole = f"{units:,}"
    named = f"{whole} {singular(name) if units == 1 else name}"
    if not part:
        return named
    if sign == "$" and units and len(part.rstrip("0")) <= 2:
        return f"${whole}.{part[:2].ljust(2, '0')}"
    if subunit is None or len(part.rstrip("0")) > 2:
        return f"{decimal(whole, part)} {name}"
    cents = int(part.ljust(2, "0")[:2])
    if not cents:
        return named
    counted = f"{cents} {'penny' if subunit == 'pence' else 'cent'}" if cents == 1 else None
    if not units:
        return counted or f"{cents} {subunit}"
    return f"{named} {cents}" if cents > 9 else f"{named} and {counted or f'{cents} {subunit}'}"


def _code(match: re.Match[str]) -> str:
    name = CODES[match["code"]]
    is_one = match["number"] == "1"
    return f"{match['number']}{match['scale'] or ''} {singular(name) if is_one else name}"


def _per(match: re.Match[str]) -> str:
    unit = match["unit"]
    return f"{match['amount']} per {PERIODS.get(unit, unit)}"


RULES = compile_rules(
    (
        rf"(?<={SIGN})(?P<whole>\d{{1,3}}(?:\.\d{{3}}){{1,4}}|\d+),(?P<part>\d\d)(?![\d,])",
        _continental,
    ),
    (
        rf"(?<={SIGN} )(?P<whole>\d{{1,3}}(?:\.\d{{3}}){{1,4}}|\d+),(?P<part>\d\d)(?![\d,])",
        _continental,
    ),
    (
        r"(?<![\d.,])(?P<whole>\d{1,3}(?:\.\d{3}){1,4}|\d+),(?P<part>\d\d)"
        rf"(?= ?(?:{SIGN}|(?:{any_of(CODES)})\b)(?!\d))",
        _continental,
    ),
    # The sign after the amount.
    (rf"(?<![\d.,])(\d(?:[\d.,]*\d)?(?:[-–]\d(?:[\d.,]*\d)?)?) ?({SIGN})(?![\w$£€])", r"\2\1"),
    (
        rf"(?<![\d.,])(?P<number>{_NUMBER})(?P<scale> (?:thousand|million|billion|trillion))?"
        rf" ?(?P<code>{any_of(CODES)})\b",
        _code,
    ),
    (
        rf"\b(?P<code>{any_of(CODES)}) ?(?P<number>{_NUMBER})"
        r"(?P<scale> (?:thousand|million|billion|trillion))?(?![\w])",
        _code,
    ),
    (r"(?<!\w)-(?=[$£€]\d)", "minus "),
    (
        rf"(?P<sign>{SIGN})(?P<first>{_NUMBER}) ?(?:[-–~]|to) ?(?P<second>(?P=sign))?"
        rf"(?P<last>{_NUMBER})(?:(?P<scale>{_SCALE})|(?![\w-]|[.,]\d))",
        _range,
    ),
    (rf"(?P<sign>{SIGN}) ?(?P<number>{_NUMBER})(?P<scale>{_SCALE})", _scaled),
    (
        rf"(?P<sign>[{READ_HERE}]) ?(?P<number>(?:{_NUMBER})|\.\d+)(?![\d]|[.,]\d)",
        _amount,
    ),
    # Dollars below one, and with more or fewer than two decimals; gruut reads the others.
    (r"(?P<sign>\$) ?(?P<number>0?\.\d{1,3}|0?\.\d+|\d[\d,]*\.(?:\d{3,}))(?![\d]|[.,]\d)", _amount),
    (
        rf"(?P<amount>\$\d[\d,]{{0,20}}(?:\.\d\d)?|\b(?:{_NAMES})(?: \d\d)?) ?/ ?"
        r"(?P<unit>[A-Za-z]{1,12}²?)(?!\w)",
        _per,
    ),
)

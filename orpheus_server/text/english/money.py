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
CODES |= {"PLN": "zlotys", "MXN": "Mexican pesos", "BRL": "reais", "DKK": "Danish kroner"}
CODES |= {"KRW": "won", "ZAR": "rand", "SGD": "Singapore dollars", "HKD": "Hong Kong dollars"}
CODES |= {"NZD": "New Zealand dollars", "THB": "baht", "ILS": "shekels", "CZK": "Czech korunas"}
CODES |= {"HUF": "forints", "AED": "dirhams", "SAR": "riyals", "UAH": "hryvnias", "VND": "dong"}
CODES |= {"BTC": "bitcoins", "IDR": "rupiahs", "EGP": "Egyptian pounds"}
# Before a dollar sign.
DOLLARS = {"A": "Australian", "AU": "Australian", "C": "Canadian", "CA": "Canadian"}
DOLLARS |= {"HK": "Hong Kong", "NZ": "New Zealand", "S": "Singapore", "NT": "Taiwan"}
# Codes of currencies whose sign is read the same.
SIGNS_OF_CODES = {"EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
CHARACTERS = {"円": "yen", "元": "yuan", "원": "won"}
SUBUNITS = {"$": "cents", "€": "cents", "£": "pence"}
INVARIABLE = {"yen", "won", "dong", "baht", "yuan", "rand"}
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


_SINGULAR = {"reais": "real", "Swedish kronor": "Swedish krona", "Danish kroner": "Danish krone"}
_SINGULAR |= {"Norwegian kroner": "Norwegian krone", "colones": "colon"}


def singular(currency: str) -> str:
    if currency in _SINGULAR:
        return _SINGULAR[currency]
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
    """Reads "4.99 EUR" as "€4.99", and "CHF 20.50" as "20 Swiss francs 50"."""
    code, number, scale = match["code"], match["number"], match["scale"] or ""
    if code in SIGNS_OF_CODES and not scale:
        return f"{SIGNS_OF_CODES[code]}{number}"
    return _named(number, scale, CODES[code])


def _named(number: str, scale: str, name: str) -> str:
    whole, _, part = number.partition(".")
    if scale or len(part) != 2:
        return f"{number}{scale} {singular(name) if number == '1' and not scale else name}"
    named = f"{whole} {singular(name) if whole == '1' else name}"
    if part == "00":
        return named
    return f"{named} {part}" if part[0] != "0" else f"{named} and {int(part)} cents"


def _dollars(match: re.Match[str]) -> str:
    scale = (match["scale"] or "").strip(" -").lower()
    named_scale = f" {SCALES.get(scale, scale)}" if scale else ""
    name = "US dollars" if match["country"] == "US" else f"{DOLLARS[match['country']]} dollars"
    return _named(match["number"], named_scale, name)


def _deal(match: re.Match[str]) -> str:
    """Before a noun the currency is in the singular: "a five million dollar deal"."""
    return f"{match['number']} {match['scale']} {singular(CURRENCIES[match['sign']])} "


def _per(match: re.Match[str]) -> str:
    unit = match["unit"]
    return f"{match['amount']} per {PERIODS.get(unit, unit)}"


RULES = compile_rules(
    (r"(?<=\d) ?zł(?!\w)", " PLN"),
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
    # "€1.000" has a dot between thousands, "$100k-200k" one sign for both.
    (
        r"(?<=€)(\d{1,3}(?:\.\d{3}){1,4})(?![\d.,])|(?<![\d.,])(\d{1,3}(?:\.\d{3}){1,4})(?= ?€)",
        lambda match: (match[1] or match[2]).replace(".", ","),
    ),
    (
        r"([$£€])(\d[\d,]{0,9}(?:\.\d{1,3})?(?:[kKmMbB]|bn)) ?[-–~] ?"
        r"(?:\1)?(?=\d[\d,]{0,9}(?:\.\d{1,3})?(?:[kKmMbB]|bn)(?!\w))",
        r"\1\2 to \1",
    ),
    (r"(?<=\d) ?([円元원])", lambda match: f" {CHARACTERS[match[1]]}"),
    (r"\bR\$ ?(?=\d)", "BRL "),
    (r"\bRs\.? ?(?=\d)", "₹"),
    # "$5 USD" names the currency twice.
    (
        rf"(?<![\w$])\$ ?(?P<number>{_NUMBER})(?P<scale> (?:thousand|million|billion|trillion))?"
        r" ?(?P<code>USD|CAD|AUD|NZD|SGD|HKD)\b",
        _code,
    ),
    (
        rf"\b(?P<country>{any_of(DOLLARS)})\$ ?(?P<number>{_NUMBER})(?P<scale>{_SCALE})?(?![\w])",
        _dollars,
    ),
    # Without a scale, gruut reads "US $100".
    (rf"\b(?P<country>US)\$ ?(?P<number>{_NUMBER})(?P<scale>{_SCALE})", _dollars),
    (r"(?<![\w$])\$ (?=\d)", "$"),
    (
        rf"(?P<sign>{SIGN})(?P<number>{_NUMBER})-(?P<scale>thousand|million|billion|trillion)"
        r"(?: |-)(?=[a-z]{3})(?!from|for|and|in|per|was|were|will|has|had|with|that)",
        _deal,
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

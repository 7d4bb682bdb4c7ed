"""Signs of arithmetic, comparison and programming."""

import re

from orpheus_server.text.english.numerals import cardinal, decimal, digits
from orpheus_server.text.english.rules import compile_rules

CURRENCY_NAMES = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₩": "won"}
POWERS = {"2": "squared", "3": "cubed"}
_TAG = r"(?P<tag><[A-Za-z/][^<>\n]{0,80}>)"
SUBTRACTION = re.compile(r"(?<=[\w)]) - (?=[\w(])")


def _power(match: re.Match[str]) -> str:
    base, exponent = match["base"], match["exponent"]
    if exponent in POWERS and base != "10":
        return f"{base} {POWERS[exponent]}"
    minus = "minus " if exponent.startswith("-") else ""
    return f"{base} to the {minus}{exponent.lstrip('-')}"


def _subtraction(match: re.Match[str]) -> str:
    """In a line with an equals sign, a dash between two spaces is a minus sign."""
    return SUBTRACTION.sub(" minus ", match[0])


def _trailing_zeros(match: re.Match[str]) -> str:
    """gruut reads 2.10 as "two point one"."""
    percent = " percent" if match["percent"] else ""
    return decimal(match["whole"], match["part"]) + percent


def _product(match: re.Match[str]) -> str:
    """Reads "2*pi*r" and "width*height", but leaves "f*ck" and "un*believ*able" alone."""
    factors = match[0].split("*")
    numbers = any(factor[0].isdigit() for factor in factors)
    names = all(len(factor) > 3 or "_" in factor for factor in factors) and len(factors) == 2
    single = all(len(factor) == 1 for factor in factors)
    return " times ".join(factors) if numbers or names or single else match[0]


RULES = compile_rules(
    # Products: "2*pi*r", "n*(n+1)", "width * height"; emphasis has no letter on one side.
    (r"(?<![\w*.])[A-Za-z0-9][\w.]{0,20}(?:\*[A-Za-z0-9][\w.]{0,20}){1,8}(?![\w*])", _product),
    (
        r"(?<![\w*])([A-Za-z]|\d{1,9})\*(?=\()|(?<=\))\*(?=[\w(])",
        lambda match: f"{match[1] or ''} times ",
    ),
    (r"(?<=[a-z\d_)]) \* (?=[a-z\d_(])", " times "),
    (r"(?<=\d) [x×] (?=10(?:\^|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹])|\d{1,9} ?=)", " times "),
    (r"(?<![\w.,])(\d{1,9}(?:\.\d{1,9})?)(?:e\+?|E\+)([12]?\d)(?!\w)", r"\1 times ten to the \2"),
    (r"(?<![\w.,])(\d{1,9}\.\d{1,9})E(\d{1,2})(?!\w)", r"\1 times ten to the \2"),
    # Ratios and scores. "Genesis 1:1" is a verse.
    (r"(?i)(?<=\b(?:ratio|scale) of )(\d{1,4}):(?=\d{1,4}\b)", r"\1 to "),
    (
        r"(?<![\w.,:/-])(\d{1,4}):"
        r"(?=\d{1,4} (?:ratio|odds|scale|mix|split|aspect)\b)",
        r"\1 to ",
    ),
    (
        r"(?i)(?P<before>\b(?:won|wins|win|lost|lose|drew|leads?|beat|score|result) )"
        r"(?P<first>\d{1,3}):(?=\d(?![\w:.,]\d|\d| ?[ap]\.?m\b))",
        r"\g<before>\g<first> to ",
    ),
    (r"(?<=\w) ?!== ?(?=\w)", " is not equal to "),
    (r"(?<=\w) ?=== ?(?=\w)", " equals "),
    (r"(?<=[\w)\]]) ?(?:!=|<>) ?(?=[\w(\"'-])", " is not equal to "),
    (r"(?<=[\w)\]]) ?== ?(?=[\w(\"'-])", " equals "),
    (r"(?<=[\w)\]]) ?<= ?(?=[\w(-])", " at most "),
    (r"(?<=[\w)\]]) ?>= ?(?=[\w(-])", " at least "),
    (r"(?<=[\w)\]]) ?(?:->|=>|⟶) ?(?=[\w(])", " to "),
    (r"(?<=[\w)\]]) >{2} (?=[\w(])", " much greater than "),
    (r"(?<=[\w)\]]) <{2} (?=[\w(])", " much less than "),
    (
        rf"{_TAG}|(?<=[\w)\]]) > (?=[$£€.-]?\d|[A-Za-z]\b)"
        r"|(?<=\d) > |(?<=\b[A-Za-z]) > |(?<=\d)>(?=\d)|(?<=\b[a-z])>(?=-?\d)"
        r"|(?<=\s)>(?=\d)",
        lambda match: match["tag"] or " greater than ",
    ),
    (
        rf"{_TAG}|(?<=[\w)\]]) < (?=[$£€.-]?\d|[A-Za-z]\b)"
        r"|(?<=\d) < |(?<=\b[A-Za-z]) < |(?<=\d)<(?=\d)|(?<=\b[a-z])<(?=-?\d)"
        r"|(?<=\s)<(?=-?\d)(?!3\b)",
        lambda match: match["tag"] or " less than ",
    ),
    (r"(?<!\S)> ?(?=[-$£€]?\d)(?! \d{1,3}[.)] )", "greater than "),
    (r"(?<!\S)< ?(?=[-$£€]?\d)(?!3(?![\w.,%]))", "less than "),
    (r"(?<!\S)(?:>=|≥) ?(?=[-$£€]?\d)", "at least "),
    (r"(?<!\S)(?:<=|≤) ?(?=[-$£€]?\d)", "at most "),
    (r"(?<=\d) ?\* ?(?=[\d(])|(?<=\d) \* (?=\w)|(?<=\b[a-z]) ?\* ?(?=\d|[a-z]\b)", " times "),
    (r"(?<=\d) ?· ?(?=\d)", " times "),
    (r"(?<=[\w)\]\"']) ?&& ?(?=[\w(!\"'])", " and "),
    (r"(?<=[\w)\]\"']) ?\|\| ?(?=[\w(!\"'])", " or "),
    (r"(?<![\w.])(\d{1,9}(?:\.\d{1,9})?)[eE]-(\d{1,4})(?!\w)", r"\1 times ten to the minus \2"),
    (r"(?m)^[^\n=]*=[^\n]*$", _subtraction),
    (r"(?P<base>\b\w{1,9}|\))\^\{?(?P<exponent>-?\w{1,9})\}?", _power),
    # Subtraction, if the line has an equals sign or spaces on both sides of a letter.
    (r"(?<![\w.,-])(\d{1,9}) ?- ?(\d{1,9})(?= ?=)", r"\1 minus \2"),
    (r"(?<=\b[a-z])(?: - |-)(?=\d{1,9} ?=)", " minus "),
    (r"(?<=\d) - (?=\d{1,9} ?[=+*])", " minus "),
    (r"(?<=\w) \+(?=\d)", " plus "),
    (r"(?<![\w.,-])-(?=\d*\.\d)", "minus "),
    # Names of languages and notes.
    (r"\b([A-Za-z]{1,20})\+\+(?![A-Za-z_])", r"\1 plus plus "),
    (r"\b([A-G]|[CFJ])#(?!\w)", r"\1 sharp"),
    (r"(?<!\w)\.NET\b", "dot net"),
    (r"(?<=[A-Za-z])\+(?![\w+])", " plus"),
    # Decimals that gruut shortens or completes.
    (r"(?<=\b[vV])(\d{1,4})\.(\d{0,3}0)(?![\w]|\.\d)", lambda m: decimal(f" {m[1]}", m[2])),
    (
        r"(?<![\w.,:/$£€¥])(?P<whole>\d{1,15}|\d{1,3}(?:,\d{3}){1,4})\.(?P<part>\d{0,15}0)"
        r"(?P<percent> ?%)?(?![\w]|[.,:/-]\d)",
        _trailing_zeros,
    ),
    (
        r"(?<![\w.,)\]])\.(?P<part>\d{1,15})(?![\w.])",
        lambda match: f"point {digits(match['part'])}",
    ),
    # What is left of signs next to words.
    (r"`{1,3}|'{2}|´", '"'),
    (
        r"(?<=[A-Za-z])[$£€¥₩](?!\d)|(?<=[$£€¥₩])[$£€¥₩](?!\d)|[$£€¥₩](?=[A-Za-z$£€¥₩])",
        lambda match: f" {CURRENCY_NAMES[match[0]]} ",
    ),
    (r"(?<=[A-Za-z])%|%(?=[A-Za-z])", " percent "),
    (r"(?<=\w)#(?!\d)", " hash "),
    (r"(?<![\w~])~(?=[A-Za-z])", " tilde "),
    (r"(?<=[\w:.])\\(?=\w)", " backslash "),
    (r"(?<!\w)\+(?=[A-Za-z])", " plus "),
    (r"(?<=\d) x (?=\d)", " by "),
    (r"(?<=\b[a-z])--(?![\w-])", " minus minus"),
    (r"(?<=[?!.,;:])-(?=\d)", " minus "),
    (r"(?<![\w.,:'’])(\d{1,3})['’]s\b", lambda match: f"{cardinal(int(match[1]))}'s"),
    (r"(?<![\w:/])/(?=\s)|(?<=\w) / (?=\w)", " slash "),
)  # fmt: skip

"""Characters without a sound of their own: accents, look-alikes, Greek letters and symbols."""

import re
import unicodedata

from orpheus_server.text.english.rules import apply_rules, compile_rules

# Letters that Unicode does not decompose, and look-alikes of characters in the rules.
LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"‒": "–", "―": "—", "…": "...", "´": "'"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)
SYMBOLS = str.maketrans(
    {"²": " squared ", "³": " cubed ", "¢": " cents ", "×": " times ", "÷": " divided by "}
    | {"≈": " about ", "≠": " is not ", "≤": " at most ", "≥": " at least "}
    | {"±": " plus or minus ", "√": " root of ", "∞": " infinity ", "∈": " in ", "‰": " per mille"}
    | {"→": " to ", "⇒": " implies ", "∑": " sum of ", "∫": " integral of ", "∂": " partial "}
    | {
        "§": " section ",
        "¶": " paragraph ",
        "©": " copyright ",
        "®": " registered ",
        "™": " trademark ",
    }
    | {"⋅": " times ", "∙": " times ", "∝": " is proportional to ", "∀": " for all "}
    | {"∃": " there is ", "¬": " not ", "∧": " and ", "∨": " or ", "∪": " union "}
    | {"∩": " intersection ", "⊂": " is a subset of ", "∅": " the empty set ", "∴": " therefore "}
)
# Characters that the rules know in another form.
LOOK_ALIKES = str.maketrans(
    {"Ω": "Ω", "µ": "μ", "℃": "°C", "℉": "°F", "№": "No.", "−": "-", "‐": "-", "‑": "-"}
    | {"\u2044": "/", "／": "/", "′": "'", "″": '"', "∗": "*", "＝": "=", "＋": "+"}
)
FRACTION_SLASH = "\u2044"

GREEK = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta"},
    **{"η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu"},
    **{"ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "ς": "sigma", "τ": "tau", "φ": "phi"},
    **{"υ": "upsilon", "χ": "chi", "ψ": "psi", "ω": "omega", "ϕ": "phi", "ϵ": "epsilon"},
}
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")


def _power(match: re.Match[str]) -> str:
    exponent = match["exponent"].translate(SUPERSCRIPTS)
    minus = "minus " if exponent.startswith("-") else ""
    return f"{match['base']} to the {minus}{exponent.lstrip('+-')} "


def _greek(match: re.Match[str]) -> str:
    return f" {GREEK[match[0].lower()]} "


# A lone Greek letter is a symbol; several are a word of another language.
_GREEK_LETTER = f"[{''.join(GREEK)}{''.join(GREEK).upper()}]"
RULES = compile_rules(
    (r"(?P<base>\w\)?)(?P<exponent>[⁻⁺][⁰¹²³⁴⁵⁶⁷⁸⁹]{1,9}|[²³](?=[⁰¹²³⁴⁵⁶⁷⁸⁹])[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,9}"
     r"|[⁰¹⁴⁵⁶⁷⁸⁹][⁰¹²³⁴⁵⁶⁷⁸⁹]{0,9}|ⁿ)", _power),
    (r"(?<=10)[²³](?!\s?[A-Za-z])", lambda match: f" to the {match[0].translate(SUPERSCRIPTS)} "),
    (rf"(?<![\u0370-\u03ff]){_GREEK_LETTER}(?![\u0370-\u03ff])", _greek),
)  # fmt: skip


def plain_digits(text: str) -> str:
    """Turns digits of any script into 0-9, ½ into 1/2, and look-alikes into the usual sign."""
    if text.isascii():
        return text
    return "".join(map(_plain_digit, text.translate(LOOK_ALIKES)))


def _plain_digit(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    if unicodedata.decomposition(char).startswith("<fraction>"):
        return f" {unicodedata.normalize('NFKD', char).replace(FRACTION_SLASH, '/')}"
    # "4ᵗʰ". Digits stay, because they are powers.
    if (
        char not in "ªºⁿ"
        and char.isalpha()
        and unicodedata.decomposition(char).startswith("<super>")
    ):
        return unicodedata.normalize("NFKD", char)
    return char


def plain_symbols(text: str) -> str:
    """Names symbols, powers and lone Greek letters, and leaves every other letter as it is."""
    return text if text.isascii() else apply_rules(text, RULES).translate(SYMBOLS)


def plain_characters(text: str) -> str:
    """Removes accents from Latin letters, and turns other numbers into digits."""
    if text.isascii():
        return text
    return "".join(map(_plain_character, text.translate(LETTERS)))


def _plain_character(char: str) -> str:
    if char.isascii():
        return char
    category = unicodedata.category(char)
    if category == "Mn" and char <= "\u036f":
        return ""
    if category == "No" or (category[0] in "LN" and "LATIN" in unicodedata.name(char, "")):
        letters = unicodedata.normalize("NFKD", char).replace(FRACTION_SLASH, "/")
        bare = "".join(filter(lambda letter: not unicodedata.combining(letter), letters))
        return f" {bare}" if category == "No" else bare
    return char

"""Numbers as English words, as they are spoken."""

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))

_IRREGULAR_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"},
    **{"nine": "ninth", "twelve": "twelfth"},
}

NUMBER_WORDS = frozenset(
    (*ONES, *TENS, "hundred", "thousand", "million", "billion", "trillion", "oh", "point")
)


def cardinal(number: int) -> str:
    """Returns "one hundred five" for 105, without "and"; digit by digit above 10**15."""
    if number >= 10**15:
        return digits(str(number))
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f" {ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{ONES[hundreds]} hundred" + (f" {cardinal(rest)}" if rest else "")
    scale, name = next(each for each in SCALES if number >= each[0])
    count, rest = divmod(number, scale)
    return f"{cardinal(count)} {name}" + (f" {cardinal(rest)}" if rest else "")


def ordinal(number: int) -> str:
    """Returns "twenty first" for 21."""
    *before, last = cardinal(number).split()
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last = f"{last}th"
    return " ".join((*before, last))


def year(number: int) -> str:
    """Returns "nineteen ninety eight" for 1998 and "two thousand five" for 2005."""
    century, rest = divmod(number, 100)
    if not 11 <= century <= 20 or 2000 <= number < 2010:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} " + (cardinal(rest) if rest > 9 else f"oh {cardinal(rest)}")


def decade(number: int) -> str:
    """Returns "nineteen nineties" for 1990."""
    words = cardinal(number) if number == 2000 else year(number)
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def digits(text: str) -> str:
    """Returns the digits of the text one by one: "five five five"."""
    return " ".join(ONES[int(char)] for char in text if char.isdigit())


def decimal(text: str) -> str:
    """Returns "three point one four" for "3.14"."""
    whole, _, fraction = text.partition(".")
    return f"{cardinal(int(whole or 0))} point {digits(fraction)}"

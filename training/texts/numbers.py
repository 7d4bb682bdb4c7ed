"""Numbers, prices, times and dates, as digits and in words, as people write them."""

from random import Random

from num2words import num2words

from training.texts.lists import MONTHS

ONES = tuple(str(num2words(number)) for number in range(10))
TENS = tuple(str(num2words(number)) for number in range(20, 100, 10))
DAYS_OF_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# Users write more digits than words, and the phonemizer reads both.
DIGITS_SHARE = 0.6


def cardinal(number: int) -> str:
    """Returns 0 to 999,999 in words: "three hundred and twenty-one"."""
    return str(num2words(number)).replace(",", "")


def ordinal(number: int) -> str:
    """Returns 1 to 99 in words: "twenty-first"."""
    return str(num2words(number, to="ordinal"))


def ordinal_digits(number: int) -> str:
    """Returns "1st", "12th", "23rd"."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def year_words(year: int) -> str:
    """Returns a year from 1100 to 2099 as it is said: "nineteen oh five"."""
    century, rest = divmod(year, 100)
    if year == 2000:
        return "two thousand"
    if century == 20 and rest < 10:
        return f"two thousand {ONES[rest]}"
    last = "hundred" if rest == 0 else f"oh {ONES[rest]}" if rest < 10 else cardinal(rest)
    return f"{cardinal(century)} {last}"


def random_number(rng: Random, low: int, high: int) -> str:
    number = rng.randint(low, high)
    if rng.random() >= DIGITS_SHARE:
        return cardinal(number)
    # Five digits are hard to read without a comma.
    has_comma = number >= 10_000 or rng.random() < 0.7
    return f"{number:,}" if has_comma else str(number)


def random_any_number(rng: Random) -> str:
    """Returns a number of one to five digits, each length about as often."""
    num_digits = rng.choice((1, 2, 2, 3, 3, 4, 5))
    return random_number(rng, max(2, 10 ** (num_digits - 1)), 10**num_digits - 1)


def random_ordinal(rng: Random, high: int = 31) -> str:
    number = rng.randint(1, high)
    return ordinal_digits(number) if rng.random() < DIGITS_SHARE else ordinal(number)


def random_price(rng: Random) -> str:
    dollars = rng.choice((rng.randint(1, 20), rng.randint(2, 99), rng.randint(100, 2000)))
    cents = rng.choice((0, 0, 50, 95, 99, rng.randint(11, 98))) if dollars < 100 else 0
    if rng.random() < DIGITS_SHARE:
        sign = rng.choice("$$$$€")
        return f"{sign}{dollars:,}" + (f".{cents}" if cents else "")
    words = f"{cardinal(dollars)} dollar{'s' * (dollars > 1)}"
    return words + (f" and {cardinal(cents)} cents" if cents else "")


def random_time(rng: Random) -> str:
    """Returns "3:30", "3:05 p.m.", "7 AM", "half past three", "ten to four" or "nine o'clock"."""
    hour, minute = rng.randint(1, 12), rng.choice((0, 0, 5, 10, 15, 20, 25, 30, 30, 40, 45, 50))
    if rng.random() < DIGITS_SHARE:
        half = rng.choice(("", "", " AM", " PM", " a.m.", " p.m."))
        if minute == 0 and half:
            return f"{hour}{half}"
        minute = rng.choice((minute, rng.randint(1, 59)))
        return f"{hour}:{minute:02}{half}"
    if minute == 0:
        return rng.choice((f"{cardinal(hour)} o'clock", "noon", "midnight"))
    if minute == 30 and rng.random() < 0.5:
        return f"half past {cardinal(hour)}"
    if minute == 15 and rng.random() < 0.5:
        return f"a quarter past {cardinal(hour)}"
    if minute == 45 and rng.random() < 0.5:
        return f"a quarter to {cardinal(hour % 12 + 1)}"
    if minute == 50 and rng.random() < 0.5:
        return f"ten to {cardinal(hour % 12 + 1)}"
    return f"{cardinal(hour)} {f'oh {ONES[minute]}' if minute < 10 else cardinal(minute)}"


def random_year(rng: Random) -> str:
    year = rng.choice((rng.randint(1700, 1899), rng.randint(1900, 1999), rng.randint(2000, 2024)))
    return str(year) if rng.random() < DIGITS_SHARE else year_words(year)


def random_month_day(rng: Random) -> str:
    """Returns "May 5th", "May 5", "the 5th of May" or the like in words."""
    month = rng.randrange(12)
    day = rng.randint(1, DAYS_OF_MONTHS[month])
    if rng.random() < DIGITS_SHARE:
        forms = (ordinal_digits(day), ordinal_digits(day), str(day))
        form = rng.choice(forms)
        if form != str(day) and rng.random() < 0.3:
            return f"the {form} of {MONTHS[month]}"
        return f"{MONTHS[month]} {form}"
    if rng.random() < 0.4:
        return f"the {ordinal(day)} of {MONTHS[month]}"
    return f"{MONTHS[month]} {ordinal(day)}"


def random_date(rng: Random) -> str:
    """Returns a day with its year, as in "May 5th, 2021"."""
    return f"{random_month_day(rng)}, {random_year(rng)}"


def random_percent(rng: Random) -> str:
    number = rng.randint(2, 99)
    if rng.random() >= DIGITS_SHARE:
        return f"{cardinal(number)} percent"
    return f"{number}.{rng.randint(1, 9)}%" if rng.random() < 0.2 else f"{number}%"


def random_decimal(rng: Random) -> str:
    whole, tenths = rng.randint(1, 40), rng.randint(1, 9)
    if rng.random() < DIGITS_SHARE:
        return f"{whole}.{tenths}"
    return f"{cardinal(whole)} point {ONES[tenths]}"


def random_temperature(rng: Random) -> str:
    degrees = rng.randint(2, 99)
    if rng.random() < DIGITS_SHARE:
        return rng.choice((f"{degrees} degrees", f"{degrees}°F", f"{degrees} degrees"))
    return f"{cardinal(degrees)} degrees"


def random_million(rng: Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.randint(1, 9)}.{rng.randint(1, 9)} million"
    return f"{random_number(rng, 2, 99)} {rng.choice(('million', 'thousand'))}"


def random_digits(rng: Random, *group_sizes: int) -> str:
    """Returns groups of digits that are read one by one: "4 0 7, 1" or "four oh seven, one"."""
    zero = rng.choice(("zero", "oh"))
    names = map(str, range(10)) if rng.random() < DIGITS_SHARE else (zero, *ONES[1:10])
    digits = [*names]
    return ", ".join(" ".join(rng.choices(digits, k=size)) for size in group_sizes)

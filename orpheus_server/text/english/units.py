"""Names of units, by the symbols that stand for them."""

import re

PREFIXES = {"k": "kilo", "M": "mega", "G": "giga", "T": "tera", "h": "hecto", "d": "deci"}
PREFIXES |= {"c": "centi", "m": "milli", "μ": "micro", "n": "nano", "": ""}

# Symbol, name, the prefixes that are in use. Alone, one letter is ambiguous: see ONE_LETTER.
PREFIXED = (
    ("m", "meters", "kdcmμn"),
    ("g", "grams", "kmμn"),
    ("s", "seconds", "mμn"),
    ("L", "liters", "dcmμ"),
    ("l", "liters", "dcmμh"),
    ("W", "watts", "kMGm"),
    ("Wh", "watt hours", " kMGT"),
    ("V", "volts", "kmμ"),
    ("A", "amps", "mμk"),
    ("Ah", "amp hours", " m"),
    ("Hz", "hertz", " kMGT"),
    ("J", "joules", "kMG"),
    ("Pa", "pascals", " khMG"),
    ("eV", "electronvolts", " kMG"),
    ("Ω", "ohms", " kMm"),
    ("B", "bytes", "kMGT"),
    ("b", "bits", "kMG"),
    ("bit", "bits", "kMG"),
    ("bps", "bits per second", " kMG"),
    ("F", "farads", "μn"),
    ("N", "newtons", "kM"),
    ("mol", "moles", " mμn"),
    ("cal", "calories", " k"),
    ("Sv", "sieverts", "mμ"),
)
UNITS = {
    f"{prefix.strip()}{symbol}": f"{PREFIXES[prefix.strip()]}{name}"
    for symbol, name, prefixes in PREFIXED
    for prefix in prefixes
}
UNITS |= {"mbps": "megabits per second", "kbps": "kilobits per second", "KB": "kilobytes"}
UNITS |= {"KiB": "kibibytes", "MiB": "mebibytes", "GiB": "gibibytes", "TiB": "tebibytes"}
UNITS |= {
    "ha": "hectares",
    "dB": "decibels",
    "px": "pixels",
    "hp": "horsepower",
    "Nm": "newton meters",
}
UNITS |= {"mph": "miles per hour", "kph": "kilometers per hour", "kmh": "kilometers per hour"}
UNITS |= {"fps": "frames per second", "rpm": "revolutions per minute", "bpm": "beats per minute"}
UNITS |= {"dpi": "dots per inch", "ppi": "pixels per inch", "ppm": "parts per million"}
UNITS |= {"psi": "pounds per square inch", "ft": "feet", "yd": "yards", "yds": "yards"}
UNITS |= {"mi": "miles", "oz": "ounces", "lb": "pounds", "lbs": "pounds", "gal": "gallons"}
UNITS |= {"tsp": "teaspoons", "tbsp": "tablespoons", "kcal": "kilocalories", "sqft": "square feet"}
UNITS |= {"fl oz": "fluid ounces", "fl. oz": "fluid ounces"}
UNITS |= {"sq ft": "square feet", "sq m": "square meters", "sq km": "square kilometers"}
UNITS |= {"sq mi": "square miles", "cu ft": "cubic feet", "cc": "cubic centimeters"}
UNITS |= {"min": "minutes", "mins": "minutes", "sec": "seconds", "secs": "seconds"}
UNITS |= {"hr": "hours", "hrs": "hours", "wk": "weeks", "wks": "weeks", "yr": "years"}
UNITS |= {"yrs": "years", "mos": "months"}
UNITS |= {"sq in": "square inches", "sq yd": "square yards", "cu m": "cubic meters"}
UNITS |= {
    "cu in": "cubic inches",
    "kgs": "kilograms",
    "kms": "kilometers",
    "mpg": "miles per gallon",
}
UNITS |= {
    "cfm": "cubic feet per minute",
    "lm": "lumens",
    "kVA": "kilovolt amps",
    "MP": "megapixels",
}
UNITS |= {"mmHg": "millimeters of mercury", "kts": "knots", "kt": "knots"}
UNITS |= {"KG": "kilograms", "Kg": "kilograms", "KM": "kilometers", "Km": "kilometers"}
UNITS |= {
    "CM": "centimeters",
    "LBS": "pounds",
    "OZ": "ounces",
    "FT": "feet",
    "MPH": "miles per hour",
}
UNITS |= {"FPS": "frames per second", "RPM": "revolutions per minute", "KWH": "kilowatt hours"}

ONE_LETTER = {"m": "meters", "g": "grams", "h": "hours", "s": "seconds", "W": "watts"}
ONE_LETTER |= {"V": "volts", "L": "liters", "l": "liters", "k": "thousand"}
LENGTHS = {"m", "km", "dm", "cm", "mm", "μm", "nm", "ft", "yd", "mi"}

# What stands after a slash, besides units.
PERIODS = {"s": "second", "sec": "second", "second": "second", "min": "minute", "minute": "minute"}
PERIODS |= {"h": "hour", "hr": "hour", "hour": "hour", "d": "day", "day": "day", "night": "night"}
PERIODS |= {"wk": "week", "week": "week", "mo": "month", "mth": "month", "month": "month"}
PERIODS |= {"yr": "year", "y": "year", "year": "year", "person": "person", "capita": "capita"}

_SINGULAR = {"feet": "foot", "thousand": "thousand", "horsepower": "horsepower"}


def grouped(number: str) -> str:
    """Returns a number of four digits with the comma without which gruut reads a year."""
    is_like_a_year = re.fullmatch(r"[12]\d{3}", number) and number[2:] != "00"
    return f"{number[0]},{number[1:]}" if is_like_a_year else number


def singular(name: str) -> str:
    """Returns the name of one unit: "mile per hour", "kilowatt hour", "square foot"."""
    words = name.split(" ")
    counted = next((i for i, word in enumerate(words) if word == "per"), len(words)) - 1
    word = words[counted]
    words[counted] = word if word.endswith("hertz") else _SINGULAR.get(word, word.removesuffix("s"))
    return " ".join(words)

"""Exact results of all rules together; the tests of each module compare phonemes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_server.text.english.normalising import normalise, spell_out

WORDS = {"don't", "going", "i", "is", "it", "nasa", "ok", "on", "right", "stop", "there", "war"}
WORDS |= {"big", "what", "world"}


def is_word(word: str) -> bool:
    return word in WORDS


CASES = {
    # Characters.
    "café, naïve, Łódź": "cafe, naive, Lodz",
    "straße Ærø Þór": "strasse Aero Thor",
    "ＡＢＣ ﬁne": "ABC fine",
    "é": "e",
    "cafe\u0301": "cafe",
    "٣ ९": "3 9",
    "x² and CO₂": "x squared and CO 2",
    "non‑breaking −5": "non-breaking -5",
    "3 × 4 ÷ 2": "3 times 4 divided by 2",
    "x² + y² = 4": "x squared plus y squared equals 4",
    "x ≤ 5, y ≥ 3, z ≠ 4": "x at most 5, y at least 3, z is not 4",
    "√2 ≈ 1.41 ± 0.01": "root of 2 about 1.41 plus or minus 0.01",
    # Fractions, dates, numbers with dots.
    "¾ or ½": "three quarters or one half",
    "1/2, 2/3 and 3/4": "one half, two thirds and three quarters",
    "2½ and 2 1/2": "2 and one half and 2 and one half",
    "24/7 9/11 50/50 10/3": "24 7 9 11 50 50 10 3",
    "2020/21": "2020 21",
    "3.14.15": "3 point 14 point 15",
    "v2.4.0": "v 2 point 4 point 0",
    "15.01.2024 and 5.6.2024": "2024-01-15 and 5 point 6 point 2024",
    "1.000.000": "1000000",
    # Money.
    "$3M, $2.5bn, £10k": "3 million dollars, 2.5 billion dollars, 10 thousand pounds",
    "$3 million and €1.5 billion": "3 million dollars and 1.5 billion euros",
    "¥100 and ₹1,000": "100 yen and 1,000 rupees",
    "100 € and 20$": "100 euros and $20",
    "£20 or €1,000": "20 pounds or 1,000 euros",
    "US$100, -$5, 50¢": "US $100, minus $5, 50 cents",
    # Digits next to letters.
    "10k, 1.5k, 4K": "10 thousand, 1.5 thousand, 4 K",
    "221B, 3D, MP3, H2O": "221 B, 3 D, MP 3, H 2 O",
    "A4 and 5A": "A. 4 and 5 A.",
    "5km, 5 km, 1 km": "5 kilometers, 5 kilometers, 1 kilometer",
    "1 ft, 6 ft, 100mph, 12 km/h": "1 foot, 6 feet, 100 miles per hour, 12 kilometers per hour",
    "5m 45s": "5 meters 45 seconds",
    "1080x720": "1080 by 720",
    "5'10": "5 foot 10",
    "the 1990s, 80s, '80s, 80's, 2000s": (
        "the 19 nineties, eighties, 'eighties, eighties, 2 thousands"
    ),
    "21ST 20th-century": "21st 20th century",
    # Signs.
    "Q&A, AT&T, R & B": "Q and A., AT and T, R and B",
    "jane@example.com @bob": "jane at example dot com at bob",
    "a=b, 1 + 1 = 2": "a equals b, 1 plus 1 equals 2",
    "+44 and 18+": "plus 44 and 18 plus",
    "#5, ~5, 50 %": "number 5, about 5, 50%",
    "-5°C, 90 °F, 5°": "-5 degrees Celsius, 90 degrees Fahrenheit, 5 degrees",
    "and/or I/O": "and or I O",
    "https://example.com/a?b=1.": "example dot com slash a b 1.",
    "www.example.org and node.js": "W W W dot example dot org and node dot js",
    "Ph.D.": "P.H.D.",
    # Pauses and stops.
    "word—word and – well": "word, word and, well",
    "said—“no": "said, “no",
    "“I was—” he said": "“I was,” he said",
    "— Hello—": "Hello",
    "well--known": "well, known",
    "yes–no": "yes, no",
    "5–10, $20–$30, $20-$30": "5 to 10, $20 to $30, $20 to $30",
    "one,two;three:four": "one, two; three: four",
    "1,2 and 10,5 and 1,250": "1, 2 and 10, 5 and 1,250",
    "end.Start Dr.Smith": "end. Start Dr. Smith",
    "what?No": "what? No",
    'hello."Then (a)b': 'hello." Then (a) b',
    "hello(world)": "hello (world)",
    "Really?! Never!! Who??": "Really? Never! Who?",
    "Wait... what… Yes...": "Wait, what. Yes.",
    "Wait...what": "Wait, what",
    "The U.S.?!": "The U.S. ?",
    # Capitals.
    "STOP RIGHT THERE!": "stop right there!",
    "WHAT IS GOING ON": "what is going on",
    "IT IS, I DON’T": "it is, I don’t",
    "a STOP sign of NASA": "a stop sign of nasa",
    "WORLD WAR II IS BIG": "world war II is big",
    "WHAT IS XYZZY": "what is XYZZY",
}

UNCHANGED = [
    "",
    "   two  spaces\nand\tlines  ",
    "Dr. Brown and Mr. Green met Mrs. White on Main St. today.",
    "The U.S. office, e.g. of the F.B.I., i.e. this one.",
    "They met on 11/12/2020, 5/6/2020 and again on 2021-03-05.",
    "It costs $5, $3.50 or $1,000; 50% of 99.9%.",
    "At 4:30pm, 4 p.m., 12:00, 9am or 7:05 a.m.",
    "The 1st, 2nd, 3rd, 4th, 21st and 100th.",
    "The USA, FBI and IT spelled; I am, IS it OK?",
    "A well-known mother-in-law, COVID-19, -4 or 0.5.",
    "I don’t think it’s Ann’s rock'n'roll.",
    "Colon : semicolon ; comma , stop .",
    "The #hashtags of two thirds and one half.",
    "Open File > Settings > About.",
    "你好 привет 😀",
]


@pytest.mark.parametrize(("text", "expected"), CASES.items(), ids=CASES)
def test_rules(text: str, expected: str) -> None:
    assert normalise(text, is_word=is_word) == expected


@pytest.mark.parametrize("text", UNCHANGED)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert normalise(text, is_word=is_word) == text


@given(st.text(max_size=60) | st.text(alphabet="019.,:/-–—eEAkms$€%°' ’\"=+&@#(½é", max_size=60))
def test_text_with_letters_or_digits_is_never_dropped(text: str) -> None:
    assert bool(normalise(text, is_word=is_word).strip()) or not any(map(str.isalnum, text))


SPELLED_OUT = {
    "€3,20 at 17:45": "three euros twenty at seventeen forty five",
    "It costs $5.": "It costs five dollars.",
    "$1,234.56": "one thousand two hundred and thirty four dollars fifty six cents",
    "In 1905, 2005 and 2024": "In nineteen oh five, two thousand and five and twenty twenty four",
    "1,250 and -4 and 99.9%": (
        "one thousand two hundred and fifty and minus four and ninety nine point nine percent"
    ),
    "11/12/2020 or 2021-03-05": "November twelfth, twenty twenty or March fifth, twenty twenty one",
    "At 4:05pm, 9 am and 12:00": "At four oh five P.M., nine A.M. and twelve",
    "the 3rd of 12": "the third of twelve",
    "B12 & 5 kg": "B twelve and five kilograms",
    "<laugh> No — really… 2 <sigh>": "<laugh> No — really… two <sigh>",
    "crème brûlée ×2": "crème brûlée times two",
    "sooooo COOOOL": "so cool",
    "31/13/2020": "thirty one thirteen twenty twenty",
    "9" * 20: " ".join(["nine"] * 20),
}


@pytest.mark.parametrize(("text", "expected"), SPELLED_OUT.items(), ids=SPELLED_OUT)
def test_voices_that_read_letters_get_words(text: str, expected: str) -> None:
    assert spell_out(text) == expected


@pytest.mark.parametrize(
    "text", ["Dr. Brown <laugh> said: “Wait... NO!” — café?", "", "   two  spaces\nand\tlines  "]
)
def test_text_without_numbers_and_signs_is_not_spelled_out(text: str) -> None:
    assert spell_out(text) == text


@given(st.text(max_size=60) | st.text(alphabet="019.,:/-–—eEAkms$€%°' ’\"=+&@#(½é", max_size=60))
def test_no_digit_is_left_to_voices_that_read_letters(text: str) -> None:
    assert not any(char in "0123456789" for char in spell_out(text))


UNITS = ("1-", "a-", "a@", "a_", "00-", "1 000 ", " 1/2", "aab", "1:", "*1", "St. ", "A St ")
MORE_UNITS = (
    "May ",
    "1a",
    "$1-",
    " > ",
    "1e",
    "10:10 ",
    "x^",
    "XI ",
    "Mon-",
    "12 N ",
    "1 and ",
    "a/",
    "1*",
    "a*",
    "width * ",
    "1 in x ",
    "1.000.",
    "1'1",
    "A$1 ",
    "US$1,",
    "1kg - ",
    "3/4 - ",
    "XIX",
    "1 x 10^",
    "1e1 ",
    "ratio of 1:",
    "9.30-",
    "111th ",
    "may 1 ",
)


@pytest.mark.parametrize(
    "unit",
    [
        *"19.,/-–— $€%&=+#~°'aAé½?!:@(<>*^Δ²0_",
        "1,",
        "1.",
        "1/",
        "1 ",
        "a.",
        "A ",
        "www.",
        "-$",
        "1–",
        "$1",
        *UNITS,
    ],
)
def test_it_takes_linear_time(unit: str) -> None:
    def took_sec(num_chars: int) -> float:
        text = unit * (num_chars // len(unit))
        start = time.process_time()
        normalise(text, is_word=is_word)
        spell_out(text[: num_chars // 4])
        return time.process_time() - start

    long_sec = took_sec(20_000)
    # On a slow machine, linear time is four times that of a fourth, and quadratic sixteen times.
    assert long_sec < 2 or long_sec < 8 * took_sec(5_000)

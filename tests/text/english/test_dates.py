"""Dates with the name of a month, ranges of years, and time stamps."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

READINGS = {
    "july 25 2012": "july twenty fifth twenty twelve",
    "25 July 2012": "the twenty fifth of July twenty twelve",
    "on the 3 March": "on the third of March",
    "25th jul 2012": "the twenty fifth of July twenty twelve",
    "Jan. 15, 2020": "January fifteenth twenty twenty",
    "due Sept. 2": "due September second",
    "Dec-24": "December twenty fourth",
    "12-Jan-2012": "the twelfth of January twenty twelve",
    "feb 2012 and Dec. was cold": "February twenty twelve and December was cold",
    "05/2024": "May twenty twenty four",
    "Jan-Mar and Monday-Friday": "January to March and Monday to Friday",
    "Wed, Jan 5": "Wednesday, January fifth",
    "1980-1986": "nineteen eighty to nineteen eighty six",
    "1960s-1980s": "nineteen sixties to nineteen eighties",
    "April 29th’s meeting": "April twenty ninth's meeting",
    "2024-05-17T14:30:00Z": "May seventeenth, twenty twenty four, fourteen thirty",
    "Fri, 02 Jan 2026": "Friday, the second of January twenty twenty six",
    "5 may help": "five may help",
    "May 4, 1987": "May four, nineteen eighty seven",
}


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0

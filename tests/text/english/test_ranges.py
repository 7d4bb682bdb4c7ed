"""Ranges of numbers."""

from tests.support.readings import reading_test

READINGS = {
    "noon-3 pm": "noon to three P M",
    "100k-200k users": "one hundred thousand to two hundred thousand users",
    "items #5-#10": "items number five to number ten",
    "5-10 minutes": "five to ten minutes",
    "20~30 s": "twenty to thirty seconds",
    "2-5lb": "two to five pounds",
    "10-20%, 10%-20%": "ten to twenty percent, ten percent to twenty percent",
    "5 - 10 people": "five to ten people",
    "from A-Z": "from A. to Z",
    "1,000-2,000 words": "one thousand to two thousand words",
    "a 3-2 win": "a three two win",
    "COVID-19": "COVID nineteen",
    "a 20-year-old": "a twenty year old",
    "2 kg - 3 kg": "two kilograms to three kilograms",
    "5% - 10%": "five percent to ten percent",
    "1234-1500 kg": "one thousand, two hundred and thirty four to fifteen hundred kilograms",
    "1980-1970 kg, 30-20 km": (
        "one thousand, nine hundred and eighty to "
        "one thousand, nine hundred and seventy kilograms, "
        "thirty to twenty kilometers"
    ),
    "a 9-5 job": "a nine to five job",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

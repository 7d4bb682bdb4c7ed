"""Fractions, and what looks like one."""

from tests.support.readings import reading_test

READINGS = {
    "118/76 mmHg": "118 over 76 millimeters of mercury",
    "blood pressure is 130/85 now": "blood pressure is 130 over 85 now",
    "2/n and 1/x": "two over n and one over x",
    "5/s": "five per second",
    "1/4th": "one fourth",
    "2/3rds of it": "two thirds of it",
    "two thirds, three quarters": "two thirds, three quarters",
    "31/32": "thirty one thirty seconds",
    "13/16 inch": "thirteen sixteenths inch",
    "7/10 and 5/6": "seven tenths and five sixths",
    "1/1000": "one one thousandth",
    "22/3": "twenty two thirds",
    "on 5/6 we met": "on five six we met",
    "24/7, 9/11, 50/50, 12/25": "twenty four seven, nine eleven, fifty fifty, twelve twenty five",
    "1-1/2 cups": "one and one half cups",
    "1/2 - 3/4 cup": "one half to three quarters cup",
    "1 / 2 or 3 / 4": "one half or three quarters",
    "page 1 / 2": "page one slash two",
    "5123/6001": "five thousand one hundred twenty three over six thousand one",
    "2019/2020": "twenty nineteen twenty twenty",
    "unit KA-12/45": "unit KA twelve forty five",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

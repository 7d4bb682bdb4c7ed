"""Dates with the name of a month, ranges of years, and time stamps."""

from tests.support.readings import reading_test

READINGS = {
    "Tue. to Thu. it rains": "Tuesday to Thursday it rains",
    "Mon. through Wed.": "Monday to Wednesday.",
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
    "FEB. 2ND and oct 3RD": "February second and October third",
    "on nov/11/2012": "on November eleventh twenty twelve",
    "due 25dec2019": "due the twenty fifth of December twenty nineteen",
    "march 12": "March twelfth",
    "born 12 may, died 3rd march": "born the twelfth of May, died the third of March",
    "you may 2 times": "you may two times",
    "1/2009": "January two thousand and nine",
    "Q4'22 and FY'23": "Q four twenty two and FY twenty three",
    "in '05": "in 'oh five",
    "May 1 - May 5": "May one to May five",
    "the 5-th and the 21 st": "the fifth and the twenty first",
    "June 1st-3rd": "June first to third",
    "the 111th, 203rd and 100th": "the one hundred eleventh, two hundred third and 100th",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

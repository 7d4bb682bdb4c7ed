"""Times of the 24-hour clock, ranges of times, and durations."""

from tests.support.readings import reading_test

READINGS = {
    "17:45": "seventeen forty five",
    "at 13:05 sharp": "at thirteen oh five sharp",
    "14:00-15:30": "fourteen hundred to fifteen thirty",
    "9:00 - 17:00": "nine to seventeen hundred",
    "5pm-7 pm": "five P M to seven P M",
    "2:30pm–4pm": "two thirty P M to four P M",
    "7-9pm": "seven to nine P M",
    "10.30 am": "ten thirty A.M.",
    "1:01:01": "one hour one minute and one second",
    "12:30:45": "twelve hours thirty minutes and forty five seconds",
    "at 10:30:45": "at ten thirty forty five",
    "1h30m": "one hour thirty minutes",
    "9 PM EST": "nine P M E S T",
    "at 4:30 pm": "at four thirty P M",
    "a 16:9 screen": "a sixteen nine screen",
    "12.30-1.30pm": "twelve thirty to one thirty P M",
    "at 14h30": "at fourteen thirty",
    "UTC-5": "U T C minus five",
    "12:30:45 pm": "twelve thirty forty five P M",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

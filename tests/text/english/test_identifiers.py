"""Numbers that are names are read digit by digit, in their groups."""

from tests.support.readings import reading_test

READINGS = {
    "Airbus 320": "Airbus three twenty",
    "Please dial 112 now": "Please dial one one two now",
    "a 911 call": "a nine one one call",
    "Call 0800 123 456": "Call zero eight zero zero, one two three, four five six",
    "416-555-0192": "four one six, five five five, zero one nine two",
    "(020) 7946 0958": "zero two zero, seven nine four six, zero nine five eight",
    "+49 30 901820": "plus four nine, three zero, nine zero one eight two zero",
    "+1 (212) 555-0143": "plus one, two one two, five five five, zero one four three",
    "Call 555-1234.": "Call five five five, one two three four.",
    "1-800-FLOWERS": "one, eight hundred, flowers",
    "Card 4111 1111 1111 1111": (
        "Card four one one one, one one one one, one one one one, one one one one"
    ),
    "ISBN 978-3-16-148410-0": (
        "I S B N nine seven eight, three, one six, one four eight four one zero, zero"
    ),
    "Agent 007": "Agent zero zero seven",
    "room 0042": "room zero zero four two",
    "192.168.0.17": "one nine two dot one six eight dot zero dot one seven",
    "commit 3f2a9bc": "commit three F two A. nine B C",
    "550e8400-e29b-41d4-a716-446655440000": (
        "five five zero E eight four zero zero, E two nine B, four one D four, A. seven "
        "one six, four four six six five five four four zero zero zero zero"
    ),
    "Your code is 48213": "Your code is four eight two one three",
    "a card ending in 8876": "a card ending in eight eight seven six",
    "order ab9453": "order ab nine four five three",
    "seat 08B": "seat zero eight B",
    "R-007": "R zero zero seven",
    "in the U.S and a.b.c": "in the U S and A. B C",
    "1920x1080 or +0.00": "nineteen twenty by ten eighty or plus zero point zero zero",
    "It is 09:30.": "It is nine thirty.",
    "01/02/2020": "January second, twenty twenty",
    "account no. 123456": "account no. one two three four five six",
    "an A380, a T-650": "an A. three hundred eighty, a T six hundred fifty",
    "unit 1-413-b": "unit one four hundred thirteen b",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

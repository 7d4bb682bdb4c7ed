"""Postal addresses: house numbers, streets, states and ZIP codes."""

from tests.support.readings import reading_test

READINGS = {
    "123 Main St, Springfield, IL 62704": (
        "one twenty three Main Street, Springfield, Illinois six two seven zero four"
    ),
    "708 N 1st St": "seven zero eight North first Street",
    "1428 Elm Ave. is empty": "fourteen twenty eight Elm Avenue is empty",
    "2500 Lake Shore Dr": "twenty five hundred Lake Shore Drive",
    "Reno, NV, 89501": "Reno, Nevada, eight nine five zero one",
    "He lives at 692 Oak Street": "He lives at six hundred and ninety two Oak Street",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

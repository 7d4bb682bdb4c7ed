"""Names of units."""

import pytest

from orpheus_server.text.english.units import UNITS, singular


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("feet", "foot"),
        ("kilohertz", "kilohertz"),
        ("miles per hour", "mile per hour"),
        ("kilowatt hours", "kilowatt hour"),
        ("square feet", "square foot"),
        ("pounds per square inch", "pound per square inch"),
        ("horsepower", "horsepower"),
    ],
)
def test_one_unit(name: str, expected: str) -> None:
    assert singular(name) == expected


def test_prefixes() -> None:
    assert UNITS["kW"] == "kilowatts"
    assert UNITS["μs"] == "microseconds"
    assert UNITS["Wh"] == "watt hours"
    assert "m" not in UNITS

"""The expected duration of text in each script."""

import pytest

from orpheus_server.text.duration import estimate_duration_sec


@pytest.mark.parametrize(
    ("text", "expected_sec"),
    [
        ("", 0),
        ("abc def ghi jkl mno", 15 / 15),
        ("привет", 6 / 15),
        ("नमस्ते", 6 / 13),
        ("안녕", 2 * 0.17),
        ("你好", 2 * 0.22),
        ("すし", 2 * 0.22),
        ("42", 2 * 0.3),
        ("3.14", 3 * 0.3),
        ("1,000", 4 * 0.3),
        ("NASA", 4 * 0.3),
        ("ABCDEF", 6 / 15),
        ("I", 1 / 15),
        ("a, b", 2 / 15 + 0.15),
        ("a.", 1 / 15 + 0.35),
        ("a?!...", 1 / 15 + 0.35),
        ("你，好。", 2 * 0.22 + 0.15 + 0.35),
        ("5% & 3€", 2 * 0.3 + 3 * 0.4),
        ("<laugh>", 1.0),
        ("<작은 웃음> a", 1.0 + 1 / 15),
        ("😀", 0),
    ],
)
def test_estimate_duration_sec(text: str, expected_sec: float) -> None:
    assert estimate_duration_sec(text) == pytest.approx(expected_sec)

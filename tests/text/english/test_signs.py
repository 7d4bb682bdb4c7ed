"""Signs of arithmetic, comparison and programming."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

READINGS = {
    "Scores > 90 pass.": "Scores greater than ninety pass.",
    "x<5 and y > z": "x less than five and y greater than z",
    "a != b": "a is not equal to b",
    "a == b && c >= 3": "a equals b and c at least three",
    "5*3 and 2 * 4": "five times three and two times four",
    "C++, C#": "C plus plus, C sharp",
    "F# and g++ and .NET": "F sharp and g plus plus and dot net",
    "x^2 + y^n": "x squared plus y to the n",
    "10^6 and 1e-5": "ten to the six and one times ten to the minus five",
    "1-4=5 and x = y - 2": "one minus four equals five and x equals y minus two",
    "it is -0.5 now": "it is minus zero point five now",
    "2.10, 3.00, .25": "two point one zero, three point zero zero, point two five",
    "5.0%": "five point zero percent",
    "a -> b": "a to b",
    "I <3 you": "I 3 you",
    "Open File > Settings.": "Open File Settings.",
    "5 / x": "five slash x",
    "He said <is> fine": "He said is fine",
    "*fine* and #tags": "fine and tags",
}


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0

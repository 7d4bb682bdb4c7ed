"""Greek letters, powers and symbols."""

import pytest

from orpheus_server.text.phonemes import GruutPhonemizer

READINGS = {
    "Δt is 3 seconds.": "delta t is three seconds.",
    "α and β rays, π": "alpha and beta rays, pi",
    "10⁶, 2ⁿ, x²": "ten to the six, two to the n, x squared",
    "x→y, 3 ∈ S, ∞": "x to y, three in S, infinity",
    "the 4ᵗʰ": "the fourth",
    "20 ℃, № 5, § 3": "twenty degrees Celsius, Number five, section three",
    "10€": "ten euros",
}


@pytest.mark.parametrize(("text", "spelled_out"), READINGS.items(), ids=READINGS)
def test_it_is_read_like_the_spelled_out_text(
    phonemizer: GruutPhonemizer, text: str, spelled_out: str
) -> None:
    spoken = phonemizer.phonemize(text)
    assert spoken == phonemizer.phonemize(spelled_out)
    assert spoken.num_lost_words == 0

"""Greek letters, powers and symbols."""

from tests.support.readings import reading_test

READINGS = {
    "Δt is 3 seconds.": "delta t is three seconds.",
    "α and β rays, π": "alpha and beta rays, pi",
    "10⁶, 2ⁿ, x²": "ten to the six, two to the n, x squared",
    "x→y, 3 ∈ S, ∞": "x to y, three in S, infinity",
    "the 4ᵗʰ": "the fourth",
    "20 ℃, № 5, § 3": "twenty degrees Celsius, Number five, section three",
    "10€": "ten euros",
}

test_it_is_read_like_the_spelled_out_text = reading_test(READINGS)

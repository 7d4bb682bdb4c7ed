import pytest

from training.ear.error_rate import WordErrors, count_errors


@pytest.mark.parametrize(
    ("spoken", "heard", "errors"),
    [
        ("a b c", "a b c", WordErrors(3, 0, 0, 0)),
        ("a b c", "a x c", WordErrors(3, 1, 0, 0)),
        ("a b c", "a b c d", WordErrors(3, 0, 1, 0)),
        ("a b c", "a c", WordErrors(3, 0, 0, 1)),
        ("a b c", "", WordErrors(3, 0, 0, 3)),
        ("", "a b", WordErrors(0, 0, 2, 0)),
        ("a b c d", "b x d e", WordErrors(4, 1, 1, 1)),
    ],
)
def test_counts_the_fewest_errors(spoken: str, heard: str, errors: WordErrors) -> None:
    assert count_errors(spoken.split(), heard.split()) == errors


def test_adds_up_and_divides() -> None:
    total = WordErrors(3, 1, 0, 0) + WordErrors(5, 0, 1, 2)
    assert total == WordErrors(8, 1, 1, 2)
    assert total.rate == 0.5
    assert WordErrors().rate == 0

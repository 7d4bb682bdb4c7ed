import pytest

from training.ear.spelling import to_american


@pytest.mark.parametrize(
    ("british", "american"),
    [
        ("colour", "color"),
        ("favourite", "favorite"),
        ("neighbourhood", "neighborhood"),
        ("organisation", "organization"),
        ("fibre", "fiber"),
        ("litres", "liters"),
        ("catalogue", "catalog"),
        ("modelling", "modeling"),
        ("marvellous", "marvelous"),
        ("tyres", "tires"),
        ("odour", "odor"),
        ("buffaloes", "buffalos"),
    ],
)
def test_respells(british: str, american: str) -> None:
    assert to_american(british) == american
    assert to_american(american) == american


@pytest.mark.parametrize("word", ["our", "hour", "four", "calling", "were", "more", "this", "acre"])
def test_keeps(word: str) -> None:
    assert to_american(word) == word

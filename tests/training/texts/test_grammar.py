import pytest

from training.texts.grammar import capitalise, choose_articles, plural


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a(n) apple", "an apple"),
        ("a(n) bridge", "a bridge"),
        ("a(n) hour", "an hour"),
        ("a(n) honest man", "an honest man"),
        ("a(n) hotel", "a hotel"),
        ("a(n) umbrella", "an umbrella"),
        ("a(n) uniform", "a uniform"),
        ("a(n) university", "a university"),
        ("a(n) unimportant thing", "an unimportant thing"),
        ("a(n) useful thing", "a useful thing"),
        ("a(n) usual thing", "a usual thing"),
        ("a(n) uncle", "an uncle"),
        ("a(n) European", "a European"),
        ("a(n) one-way street", "a one-way street"),
        ("a(n) 8", "an 8"),
        ("a(n) 11", "an 11"),
        ("a(n) 12", "a 12"),
        ("A(n) old {thing}, a(n) new one", "An old {thing}, a new one"),
    ],
)
def test_the_article_follows_the_sound(words: str, expected: str) -> None:
    assert choose_articles(words) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        *[("book", "books"), ("box", "boxes"), ("bus", "buses"), ("match", "matches")],
        *[("diary", "diaries"), ("key", "keys"), ("knife", "knives"), ("mouse", "mice")],
        *[("fisherman", "fishermen"), ("human", "humans"), ("sheep", "sheep"), ("roof", "roofs")],
        *[("piano", "pianos"), ("tomato", "tomatoes"), ("woman", "women"), ("ox", "oxen")],
    ],
)
def test_plurals(noun: str, expected: str) -> None:
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("hello", "Hello"), ('"no," he said', '"No," he said'), ("5 men", "5 men"), ("", "")],
)
def test_sentences_begin_with_a_capital(text: str, expected: str) -> None:
    assert capitalise(text) == expected

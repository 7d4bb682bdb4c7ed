from collections import Counter

import pytest

from training.evaluate.items import (
    HELD_OUT,
    JUDGE,
    SHORT,
    Text,
    in_order,
    in_proportion,
    item_from_json,
    judge_sentences,
    read_held_out,
    short_answers,
    to_items,
    voices_for,
)

EIGHT = ("tara", "leah", "jess", "mia", "zoe", "leo", "dan", "zac")


def text(number: int, collection: str = HELD_OUT, speakers: tuple[str, ...] = ()) -> Text:
    return Text(number, collection, "statement", f"Text {number}.", ("t", "."), speakers)


@pytest.mark.parametrize(
    ("given", "voices", "expected"),
    [
        (text(0, speakers=("mia", "leo")), EIGHT, ("mia", "leo")),
        (text(0, speakers=("mia", "leo")), ("rms", "slt"), ("rms", "slt")),
        (text(1, speakers=("mia", "leo")), ("rms", "slt"), ("slt", "rms")),
        (text(9, JUDGE), EIGHT, ("leah", "leo")),
        (text(9, SHORT), EIGHT, ("leah",)),
        (text(5), ("anna",), ("anna",)),
    ],
)
def test_the_voices_of_a_text_are_fixed(
    given: Text, voices: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert voices_for(given, voices) == expected


def test_voices_share_the_texts_equally() -> None:
    texts = [text(number) for number in range(300)]
    counts = Counter(item.voice for item in to_items(texts, EIGHT))
    assert set(counts) == set(EIGHT)
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_lower_limit_takes_the_first_of_the_same_order() -> None:
    texts = [text(number) for number in range(50)]
    assert in_order(texts, 10) == in_order(reversed(texts))[:10]
    assert in_order(texts, 10) != texts[:10]


@pytest.mark.parametrize(
    ("size", "num_held_out", "count"), [(30, 300, 30), (30, 1000, 30), (30, 10, 1), (31, 100, 11)]
)
def test_other_lists_follow_in_proportion(size: int, num_held_out: int, count: int) -> None:
    assert in_proportion(size, num_held_out) == count


def test_reads_the_held_out_texts() -> None:
    entry = {
        "number": 7,
        "kind": "question",
        "text": "Who?",
        "symbols": ["h", "u", "?"],
        "speaker": "tara",
        "speakers": ["tara", "zoe"],
    }
    assert read_held_out([entry]) == [
        Text(7, HELD_OUT, "question", "Who?", ("h", "u", "?"), ("tara", "zoe"))
    ]


def test_an_item_keeps_its_seed_through_json() -> None:
    (item,) = to_items([text(3)], ("anna",))
    again = item_from_json(item.to_json())
    assert again == item
    assert again.seed == item.seed
    assert 0 <= item.seed < 2**31
    assert len({each.seed for each in to_items(map(text, range(20)), EIGHT)}) == 40


def test_the_lists_are_complete() -> None:
    sentences = judge_sentences()
    assert len(set(sentences)) == 30
    assert all(sentence[-1] in ".!?" for sentence in sentences)
    assert "Yes." in short_answers()

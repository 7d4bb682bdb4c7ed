from typing import Any

import numpy as np
import pytest

from training.evaluate import grammar
from training.evaluate.grammar import GrammarEar, choices_for, to_words

HELLO = ["h", "ə", "l", "ˈoʊ", "."]
GOOD_DAY = ["ɡ", "ˈʊ", "d", "_", "d", "ˈeɪ", "!"]


def test_words_are_pronounced_as_the_phonemizer_says() -> None:
    assert to_words(HELLO) == ("HH AH L OW",)
    assert to_words(GOOD_DAY) == ("G UH D", "D EY")
    assert to_words(["t͡ʃ", "ˈɚ", ",", "d͡ʒ", "_", "✗", "?"]) == ("CH ER", "JH")


def test_choices_are_fixed_and_contain_the_text() -> None:
    texts = [f"text {number}" for number in range(100)]
    for text in texts:
        choices = choices_for(text, texts)
        assert choices[0] == text
        assert len(set(choices)) == 50
        assert choices == choices_for(text, list(reversed(texts)))


def test_choices_are_all_texts_if_there_are_fewer() -> None:
    assert sorted(choices_for("a", ["b", "c"])) == ["a", "b", "c"]


class ScriptedDecoder:
    """Recognises a fixed hypothesis and records what it is given."""

    def __init__(self, hypothesis: str | None) -> None:
        self._hypothesis = hypothesis
        self.words: dict[str, str] = {}
        self.grammars: list[str] = []

    def add_word(self, name: str, sounds: str, update: bool) -> None:
        assert name not in self.words
        self.words[name] = sounds

    def add_jsgf_string(self, name: str, text: str) -> None:
        self.grammars.append(text)

    def hyp(self) -> Any:
        return None if self._hypothesis is None else self

    @property
    def hypstr(self) -> str | None:
        return self._hypothesis

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.mark.parametrize(
    ("hypothesis", "text"),
    [("zqhhxahxlxow", "Hello."), ("zqgxuhxd zqdxey", "Good day!"), (None, None), ("zqdxey", None)],
)
def test_returns_the_text_that_is_recognised(hypothesis: str | None, text: str | None) -> None:
    decoder = ScriptedDecoder(hypothesis)
    ear = GrammarEar(decoder)
    choices = {"Hello.": HELLO, "Good day!": GOOD_DAY}
    assert ear.pick(np.zeros(240, np.int16), 24_000, choices) == text
    assert ear.pick(np.zeros(240, np.int16), 24_000, choices) == text
    assert decoder.words == {"zqhhxahxlxow": "HH AH L OW", "zqgxuhxd": "G UH D", "zqdxey": "D EY"}
    assert decoder.grammars[0].endswith("public <s> = zqhhxahxlxow | zqgxuhxd zqdxey;")


def test_all_sounds_are_known_to_the_recogniser() -> None:
    ear = GrammarEar()
    symbols = list(grammar.ARPABET)
    assert ear.pick(np.zeros(2400, np.int16), 24_000, {"all": symbols}) in ("all", None)

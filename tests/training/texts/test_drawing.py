from random import Random

from training.texts.corpus import Corpus
from training.texts.drawing import draw_sentences, draw_words
from training.texts.kinds import NUM_SENTENCES, Kind
from training.texts.short_answers import ANSWERS


def test_utterances_have_their_number_of_sentences(corpora: tuple[Corpus, Corpus]) -> None:
    for kind, num_sentences in NUM_SENTENCES.items():
        drawn = [draw_sentences(corpora[0], kind, Random(n), with_short=True) for n in range(200)]
        assert all(len(set(sentences)) == num_sentences for sentences in drawn)
        num_answers = [len(set(sentences) & set(ANSWERS)) for sentences in drawn]
        assert set(num_answers) == {0, 1}
        assert 30 < sum(num_answers) < 100


def test_short_answers_can_be_left_out(corpora: tuple[Corpus, Corpus]) -> None:
    kind = Kind.TWO_SENTENCES
    for seed in range(200):
        sentences = draw_sentences(corpora[0], kind, Random(seed), with_short=False)
        assert not set(sentences) & set(ANSWERS)


def test_longer_lists_of_words_have_one_comma(corpora: tuple[Corpus, Corpus]) -> None:
    for seed in range(100):
        words = draw_words(corpora[0], Random(seed)).split()
        assert 2 <= len(words) <= 9
        assert sum(word.endswith(",") for word in words) == (len(words) > 3)
        assert not words[-1].endswith(",")
        assert words[-1][-1] in ".!?"

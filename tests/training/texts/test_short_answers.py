from training.texts.short_answers import SHORT_ANSWERS


def test_there_are_many_from_one_word_up() -> None:
    assert len(set(SHORT_ANSWERS)) == len(SHORT_ANSWERS) >= 120
    num_words = {len(answer.split()) for answer in SHORT_ANSWERS}
    assert num_words == {1, 2, 3, 4}
    assert all(answer[-1] in ".!?" for answer in SHORT_ANSWERS)

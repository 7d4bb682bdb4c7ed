from training.evaluate.sampling import Sampling, choose

COLD, MILD, WARM = Sampling(0.4, 0.9), Sampling(0.6, 0.9), Sampling(0.8, 0.95)


def test_the_lowest_word_error_rate_is_the_best() -> None:
    assert choose({COLD: 0.20, MILD: 0.10, WARM: 0.15}) == MILD


def test_the_warmest_of_equals_is_the_best() -> None:
    assert choose({COLD: 0.100, MILD: 0.104, WARM: 0.106}) == MILD


def test_the_name_of_a_setting_is_a_folder() -> None:
    assert MILD.name == "0.6-0.9"

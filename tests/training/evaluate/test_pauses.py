import pytest

from tests.training.evaluate.signals import RATE, join, silence, symbols_of, tone
from training.evaluate.loudness import Wave, measure_levels
from training.evaluate.pauses import Pauses, count_phonemes, measure_pauses


def measure(symbols: list[str], wave: Wave) -> Pauses:
    return measure_pauses(symbols, measure_levels(wave, RATE))


def test_finds_the_pause_of_each_mark() -> None:
    symbols = symbols_of(10, 10, 20, marks=",.!")
    wave = join(
        *(silence(0.1), tone(150, 1.0), silence(0.2), tone(150, 1.0), silence(0.5)),
        *(tone(150, 2.0), silence(0.3)),
    )
    pauses = measure(symbols, wave)
    assert pauses.comma_sec == pytest.approx((0.2,))
    assert pauses.stop_sec == pytest.approx((0.5,))


def test_the_longest_silence_around_the_place_is_the_pause() -> None:
    """A consonant's closure of 70 ms is nearer to the place of the comma than its pause."""
    symbols = symbols_of(10, 10, marks=",.")
    wave = join(tone(150, 1.0), silence(0.07), tone(150, 0.2), silence(0.25), tone(150, 0.8))
    assert measure(symbols, wave).comma_sec == pytest.approx((0.25,))


def test_a_mark_without_a_pause_has_zero() -> None:
    """The only silence is one second away from the comma."""
    symbols = symbols_of(5, 15, marks=",.")
    wave = join(tone(150, 1.5), silence(0.3), tone(150, 0.5))
    pauses = measure(symbols, wave)
    assert pauses.comma_sec == (0.0,)
    assert pauses.floor_db is None


def test_a_pause_belongs_to_one_mark() -> None:
    symbols = symbols_of(10, 1, 10, marks=",,.")
    wave = join(tone(150, 1.05), silence(0.3), tone(150, 1.05))
    assert measure(symbols, wave).comma_sec == pytest.approx((0.3, 0.0))


def test_measures_the_noise_in_the_pauses() -> None:
    symbols = symbols_of(10, 10, marks=",.")
    speech = tone(150, 1.0)
    level = float((speech**2).mean() ** 0.5)
    wave = join(speech, silence(0.4, noise=level * 0.01), speech)
    floor_db = measure(symbols, wave).floor_db
    assert floor_db == pytest.approx(-40, abs=0.5)


def test_counts_sounds_only() -> None:
    assert count_phonemes(["ˈa", "_", "b", ",", "c", "."]) == 3


def test_silence_has_no_pauses() -> None:
    pauses = measure(symbols_of(3, 3, marks=",."), silence(1.0))
    assert pauses == Pauses((0.0,), (), None)

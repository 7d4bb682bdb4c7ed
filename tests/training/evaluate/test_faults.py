import pytest

from orpheus_server.synthesis.guard import Fault, LengthLimits
from training.evaluate.faults import find_fault, is_early_stop

LIMITS = LengthLimits(expected=20, shortest=6, longest=40)


def frames(num: int) -> list[tuple[int, ...]]:
    return [(index, *range(index, index + 6)) for index in range(num)]


@pytest.mark.parametrize(
    ("generated", "hit_token_limit", "fault"),
    [
        (frames(20), False, None),
        (frames(5) + [(1,) * 7] * 15, False, Fault.LOOP),
        (frames(3) + frames(2) * 8, False, Fault.LOOP),
        (frames(45), False, Fault.RUNAWAY),
        (frames(30), True, Fault.TOKEN_LIMIT),
        (frames(4), False, Fault.TOO_SHORT),
        ([], False, Fault.TOO_SHORT),
    ],
)
def test_finds_what_the_guard_would_have_found(
    generated: list[tuple[int, ...]], hit_token_limit: bool, fault: Fault | None
) -> None:
    assert find_fault(generated, LIMITS, hit_token_limit=hit_token_limit) == fault


@pytest.mark.parametrize(
    ("speech_sec", "num_phonemes", "is_early"),
    [(2.0, 30, False), (1.3, 30, False), (1.1, 30, True), (0.0, 30, True), (0.2, 5, False)],
)
def test_an_early_stop_is_shorter_than_the_pace_of_the_voice(
    speech_sec: float, num_phonemes: int, is_early: bool
) -> None:
    found = is_early_stop(speech_sec=speech_sec, num_phonemes=num_phonemes, phonemes_per_sec=15.0)
    assert found == is_early


def test_without_a_pace_only_silence_is_an_early_stop() -> None:
    assert is_early_stop(speech_sec=0.0, num_phonemes=30, phonemes_per_sec=0.0)
    assert not is_early_stop(speech_sec=0.1, num_phonemes=30, phonemes_per_sec=0.0)

from training.texts.frames import FRAMES
from training.texts.held_out_rule import (
    JUDGE_FILE,
    is_frame_held_out,
    is_held_out,
    judge_sentences,
)
from training.texts.normalising import normalise, text_hash


def test_only_letters_and_digits_decide() -> None:
    assert normalise("  It's 5:30 --\nin “May”!") == "it s 5 30 in may"
    assert text_hash("Yes, it is.") == text_hash("yes it is?") != text_hash("yes it was")


def test_the_rule_is_the_same_for_good() -> None:
    """If these change, texts that were held out have been trained on."""
    assert text_hash("the rule is fixed") == 4783655201844133339
    held_out = [n for n in range(100) if is_held_out(f"sentence {n}")]
    assert held_out == [26, 61, 76, 82, 88, 93]


def test_sentences_of_the_judge_are_held_out() -> None:
    lines = JUDGE_FILE.read_text().splitlines()
    assert len(lines) == len(judge_sentences()) == 30
    assert all(map(is_held_out, lines))
    assert is_held_out(lines[0].upper())


def test_each_kind_has_frames_on_both_sides() -> None:
    for frames in FRAMES.values():
        num_held_out = sum(map(is_frame_held_out, frames))
        assert 5 <= num_held_out <= len(frames) / 2

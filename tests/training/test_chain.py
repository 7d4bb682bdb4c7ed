from dataclasses import replace

import pytest

from training.chain import Stage, Work, next_work
from training.progress import Progress
from training.settings import load_settings

SETTINGS = load_settings({"TRAINING_SPEECH_HOURS": "2", "TRAINING_CODES_FROM_HOURS": "1"})
HOUR = {number: 360.0 for number in range(10)}

NOTHING = Progress(
    has_held_out_texts=False,
    has_held_out_speech=False,
    has_heard_speakers=False,
    text_shards=frozenset(),
    speech_shards={},
    token_shards=frozenset(),
    codes_share=0.0,
    is_encoder_frozen=False,
    decoder_share=0.0,
    language_model_share=0.0,
    voice_time=0.0,
    evaluation_time=0.0,
    models_time=0.0,
)
CHECKED = replace(
    NOTHING, has_held_out_texts=True, has_held_out_speech=True, has_heard_speakers=True
)
FROZEN = replace(
    CHECKED,
    text_shards=frozenset(range(40)),
    speech_shards=HOUR,
    token_shards=frozenset(HOUR),
    codes_share=1.0,
    is_encoder_frozen=True,
)
TRAINED = replace(
    FROZEN,
    speech_shards={number: 360.0 for number in range(20)},
    token_shards=frozenset(range(20)),
    decoder_share=1.0,
    language_model_share=1.0,
    models_time=100.0,
)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (NOTHING, "texts --first 0 --count 0"),
        (replace(NOTHING, has_held_out_texts=True), "speech --held-out"),
        (replace(CHECKED, has_heard_speakers=False), "ear speakers"),
        # 3,600 s are 28.1 shards of 128 s, and a turn makes 16 of them.
        (CHECKED, "texts --first 0 --count 16"),
        (replace(CHECKED, text_shards=frozenset(range(16))), "speech --first 0 --count 16"),
        # A shard that was cut and deleted is made again first.
        (
            replace(FROZEN, is_encoder_frozen=False, speech_shards={0: 360.0, 2: 360.0}),
            "speech --first 1 --count 8",
        ),
        (replace(FROZEN, codes_share=0.5, is_encoder_frozen=False), "codes"),
        (replace(FROZEN, is_encoder_frozen=False), "codes --freeze"),
        (replace(FROZEN, token_shards=frozenset(range(9))), "tokens"),
        (FROZEN, "decoder"),
        (replace(FROZEN, decoder_share=0.1), "language_model"),
        (replace(FROZEN, decoder_share=0.1, language_model_share=0.2), "decoder"),
        (
            replace(FROZEN, decoder_share=0.6, language_model_share=0.6),
            "speech --first 10 --count 10",
        ),
        (TRAINED, "package"),
        (replace(TRAINED, voice_time=101.0), "evaluate"),
        (replace(TRAINED, voice_time=101.0, evaluation_time=102.0), "package"),
    ],
)
def test_what_comes_next(progress: Progress, expected: str) -> None:
    assert str(next_work(progress, SETTINGS)) == expected


def test_nothing_is_left_at_the_end() -> None:
    done = replace(TRAINED, voice_time=103.0, evaluation_time=102.0)
    assert next_work(done, SETTINGS) is None


def test_a_raised_budget_goes_on() -> None:
    done = replace(TRAINED, voice_time=103.0, evaluation_time=102.0)
    more = load_settings({"TRAINING_SPEECH_HOURS": "3"})
    assert str(next_work(done, more)) == "speech --first 20 --count 10"
    further = replace(done, decoder_share=0.5)
    assert next_work(further, SETTINGS) == Work(Stage.DECODER, is_training=True)


def test_less_speech_than_the_codec_waits_for_is_enough() -> None:
    little = load_settings({"TRAINING_SPEECH_HOURS": "0.5"})
    progress = replace(CHECKED, speech_shards={0: 1800.0})
    assert next_work(progress, little) == Work(Stage.CODES, is_training=True)

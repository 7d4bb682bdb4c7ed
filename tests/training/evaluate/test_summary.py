import numpy as np

from tests.training.evaluate.recorded import item, judged, measures
from training.ear.error_rate import WordErrors
from training.evaluate.items import JUDGE, SHORT
from training.evaluate.summary import is_several_sentences, pace_of_voices, summarise, tabulate
from training.evaluate.timbre import Centroids

TWO_SENTENCES = ("h", "aɪ", ".", "j", "ɛ", "s", ".")


def test_rows_are_of_voices_kinds_and_lists() -> None:
    table = tabulate(
        [
            judged(item("held_out/0/tara", kind="question")),
            judged(item("held_out/1/leo", kind="date", symbols=TWO_SENTENCES)),
            judged(item("short/1/leo", collection=SHORT, kind=SHORT)),
            judged(item("judge/1/leo", collection=JUDGE, kind=JUDGE)),
        ]
    )
    counts = {name: row["num_utterances"] for name, row in table.items()}
    assert counts == {
        **{"all": 2, "voice tara": 1, "kind question": 1, "voice leo": 1, "kind date": 1},
        **{"several_sentences": 1, "short": 1, "judge": 1},
    }


def test_a_sentence_after_a_stop_makes_several() -> None:
    assert is_several_sentences(item(symbols=TWO_SENTENCES))
    assert not is_several_sentences(item(symbols=("h", ",", "aɪ", ".")))
    assert not is_several_sentences(item(symbols=("h", "!", "_", "?")))


def test_adds_up_words_and_shares() -> None:
    row = summarise(
        [
            judged(errors=WordErrors(10, 1, 0, 2), is_picked=False),
            judged(errors=WordErrors(30, 0, 1, 0), sound=measures(is_start_clipped=True)),
        ],
        {"tara": 15.0},
        None,
    )
    assert row["word_error_rate"] == 0.1
    assert (row["substitutions"], row["insertions"], row["deletions"]) == (1, 1, 2)
    assert (row["picked_share"], row["clipped_start_share"]) == (0.5, 0.5)
    assert row["phonemes_per_sec"] == 15.0
    assert "loop_share" not in row
    assert "real_time_factor" not in row
    assert "pause_noise_db" not in row


def test_early_stops_are_measured_at_the_pace_of_the_voice() -> None:
    group = [judged() for _ in range(3)]
    short = judged(sound=measures(speech_sec=0.5))
    silent = judged(sound=measures(speech_sec=0.0, pitch_hz=None))
    paces = pace_of_voices([*group, short, silent])
    assert paces == {"tara": 15.0}
    row = summarise([*group, short, silent], paces, None)
    assert row["early_stop_share"] == 0.4


def test_faults_are_those_of_raw_generations() -> None:
    group = [
        judged(result={"faults": faults})
        for faults in ([], ["loop"], ["stall", "runaway"], ["token_limit"])
    ]
    row = summarise(group, {}, None)
    assert (row["loop_share"], row["runaway_share"]) == (0.5, 0.5)


def test_attempts_and_real_time_factor_are_those_of_the_server() -> None:
    counts = {"num_chunks": 2, "num_attempts": 3, "num_degraded": 1}
    row = summarise(
        [
            judged(result={"elapsed_sec": 0.5, "error": "", **counts}),
            judged(result={"elapsed_sec": 1.5, "error": ""}),
        ],
        {},
        None,
    )
    assert row["real_time_factor"] == 0.5
    assert (row["attempts_per_chunk"], row["num_degraded_chunks"]) == (1.5, 1)
    assert row["num_failed"] == 0


def test_pauses_and_pitch_are_medians() -> None:
    row = summarise(
        [
            judged(sound=measures(pitch_hz=100.0, comma_sec=(0.1, 0.2), stop_sec=(0.5,))),
            judged(sound=measures(pitch_hz=None, comma_sec=(0.6,), floor_db=-50.0)),
        ],
        {},
        None,
    )
    assert (row["pitch_hz"], row["comma_pause_sec"], row["stop_pause_sec"]) == (100.0, 0.2, 0.5)
    assert row["pause_noise_db"] == -50.0


def test_speakers_are_those_that_the_teacher_has() -> None:
    centroids = Centroids({"tara": np.zeros(2), "leo": np.ones(2)}, np.ones(2))
    group = [
        judged(item("held_out/0/tara"), sound=measures(mel=(0.1, 0.0))),
        judged(item("held_out/0/leo"), sound=measures(mel=(0.2, 0.0))),
        judged(item("held_out/0/rms"), sound=measures(mel=(0.0, 0.0))),
        judged(item("held_out/1/leo")),
    ]
    assert summarise(group, {}, centroids)["speaker_share"] == 0.5
    assert "speaker_share" not in summarise(group[2:], {}, centroids)

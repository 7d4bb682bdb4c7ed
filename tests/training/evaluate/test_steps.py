from tests.training.evaluate.recorded import measures
from training.evaluate.steps import Steps, find_steps


def test_steps_are_between_neighbours() -> None:
    steps = find_steps(
        [
            measures(level_db=-20.0, pitch_hz=100.0),
            measures(level_db=-22.5, pitch_hz=200.0),
            measures(level_db=-22.0, pitch_hz=None),
            measures(level_db=-22.0, pitch_hz=100.0),
        ]
    )
    assert steps == Steps((2.5, 0.5, 0.0), (12.0,))
    assert steps.to_json() == {
        "num_steps": 3,
        "level_step_db": {"mean": 1.0, "largest": 2.5},
        "pitch_step_semitones": {"mean": 12.0, "largest": 12.0},
    }


def test_one_recording_has_no_step() -> None:
    assert find_steps([measures()]).to_json() == {
        "num_steps": 0,
        "level_step_db": {},
        "pitch_step_semitones": {},
    }

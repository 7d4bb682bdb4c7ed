from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.training.evaluate.recorded import item
from training.ear.recordings import Pcm
from training.ear.rows import append_row, read_rows
from training.evaluate.items import HELD_OUT
from training.evaluate.judging import judge, read_judged
from training.evaluate.spoken import Entry

YES, NO = item("held_out/0/tara", text="Yes."), item("held_out/1/leo", text="No, no.")
RECORDINGS = [
    (Entry("00000/0", YES, {"faults": []}), np.zeros(2400, np.int16)),
    (Entry("00000/1", NO, {"faults": []}), np.zeros(2400, np.int16)),
]
TEXTS = {HELD_OUT: {"Yes.": ["j", "."], "No, no.": ["n", "."], "Maybe.": ["m", "."]}}


class AlwaysYes:
    """Picks the same text and records its choices."""

    def __init__(self) -> None:
        self.choices: list[list[str]] = []

    def pick(
        self, samples: Pcm, sample_rate: int, choices: Mapping[str, Sequence[str]]
    ) -> str | None:
        self.choices.append(sorted(choices))
        return "Yes."


def test_judges_each_recording_once(tmp_path: Path) -> None:
    output = tmp_path / "judged.jsonl"
    picker = AlwaysYes()
    stopped = iter([False, True])
    judge(RECORDINGS, output, TEXTS, lambda: picker, is_stopped=lambda: next(stopped))
    assert len(read_rows(output)) == 1
    judge(RECORDINGS, output, TEXTS, lambda: picker)
    assert [row["recording"] for row in read_rows(output)] == ["00000/0", "00000/1"]
    judge(RECORDINGS, output, TEXTS, lambda: AssertionError)  # type: ignore[arg-type, return-value]
    assert picker.choices == [["Maybe.", "No, no.", "Yes."]] * 2


def test_joins_what_was_heard_and_what_was_judged(tmp_path: Path) -> None:
    heard, output = tmp_path / "heard.jsonl", tmp_path / "judged.jsonl"
    judge(RECORDINGS, output, TEXTS, AlwaysYes)
    append_row(heard, {"key": "00000/1", "heard": "No yes."})
    (found,) = read_judged([entry for entry, _ in RECORDINGS], heard, output)
    assert found.item == NO
    assert found.errors.num_substitutions == 1
    assert not found.is_picked
    assert found.measures.duration_sec == 0.1

from pathlib import Path

import numpy as np

from tests.training.evaluate.recorded import item
from training.evaluate.spoken import Spoken, SpokenFolder, to_pcm, to_wave

FIRST, SECOND, THIRD = (item(f"held_out/{number}/tara") for number in range(3))


def spoken(number: int, size: int) -> Spoken:
    samples = np.full(size, number, np.int16)
    return Spoken((FIRST, SECOND, THIRD)[number], samples, {"faults": ["loop"]})


def test_keeps_what_was_spoken(tmp_path: Path) -> None:
    folder = SpokenFolder(tmp_path)
    folder.add([spoken(0, 3), spoken(1, 0)])
    folder.add([spoken(2, 2)])
    found = [(entry, samples.tolist()) for entry, samples in folder.recordings()]
    assert [samples for _, samples in found] == [[0, 0, 0], [], [2, 2]]
    assert [entry for entry, _ in found] == folder.entries()
    assert [entry.recording for entry in folder.entries()] == ["00000/0", "00000/1", "00001/0"]
    assert folder.entries()[2].item == THIRD
    assert folder.entries()[0].result == {"faults": ["loop"]}


def test_says_what_is_missing(tmp_path: Path) -> None:
    folder = SpokenFolder(tmp_path / "new")
    assert folder.missing([FIRST, SECOND]) == [FIRST, SECOND]
    folder.add([spoken(0, 3)])
    assert folder.missing([FIRST, SECOND]) == [SECOND]


def test_a_cut_shard_is_spoken_again(tmp_path: Path) -> None:
    folder = SpokenFolder(tmp_path)
    folder.add([spoken(0, 300)])
    folder.add([spoken(1, 300)])
    path = folder.shards()[1]
    path.write_bytes(path.read_bytes()[:-10])
    assert folder.missing([FIRST, SECOND]) == [SECOND]
    folder.add([spoken(1, 300)])
    assert folder.missing([FIRST, SECOND]) == []


def test_samples_are_clipped_not_wrapped() -> None:
    assert to_pcm(np.array([-2, -1, 0, 0.5, 2], np.float32)).tolist() == [
        *(-32767, -32767, 0, 16384, 32767)
    ]
    assert to_wave(np.array([-32768, 16384], np.int16)).tolist() == [-1.0, 0.5]

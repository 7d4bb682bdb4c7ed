from pathlib import Path

import numpy as np

from tests.training.evaluate.signals import tone
from training.evaluate.spoken import to_pcm
from training.evaluate.teacher import speaker_centroids, teacher_recordings
from training.evaluate.timbre import mel_statistics
from training.shards import Array, shard_path, write_shard

VOICES = {"tara": tone(200, 0.4, num_harmonics=20), "leo": tone(100, 0.4, num_harmonics=4)}


def write_speech(folder: Path) -> None:
    utterances = [
        {"number": 7, "speaker": name, "kind": "name", "text": "Hi.", "symbols": ["h", "aɪ", "."]}
        for name in VOICES
    ]
    parts = [to_pcm(wave) for wave in VOICES.values()]
    ends = np.cumsum([part.size for part in parts], dtype=np.int64)
    arrays: dict[str, Array] = {"samples": np.concatenate(parts), "sample_ends": ends}
    info = {"utterances": utterances, "sample_rate": 24_000}
    write_shard(shard_path(folder, 0), arrays, info)


def test_reads_the_recordings_with_their_speakers(tmp_path: Path) -> None:
    write_speech(tmp_path)
    (entry, samples), (other, _) = teacher_recordings(tmp_path)
    assert (entry.recording, entry.item.key, entry.item.voice) == (
        "00000/0",
        "held_out/7/tara",
        "tara",
    )
    assert other.item.symbols == ("h", "aɪ", ".")
    assert samples.size == VOICES["tara"].size


def test_finds_the_timbre_of_each_speaker(tmp_path: Path) -> None:
    write_speech(tmp_path)
    centroids = speaker_centroids(tmp_path)
    assert centroids is not None
    vector = mel_statistics(VOICES["leo"], 24_000)
    assert vector is not None
    assert centroids.nearest(vector) == "leo"
    assert speaker_centroids(tmp_path / "none") is None

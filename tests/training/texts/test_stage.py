import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.errors import TrainingError
from training.files import read_json
from training.settings import TrainingSettings
from training.texts.stage import make_texts
from training.texts.utterance import Phonemizer

WORDNET = Path("/usr/share/wordnet")


@pytest.fixture
def build(phonemizer: Phonemizer) -> Any:
    return lambda name: phonemizer


def contents(settings: TrainingSettings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (settings.folder / "texts").glob("*.json")}


def test_only_missing_files_are_written(settings: TrainingSettings, build: Any) -> None:
    make_texts(settings, first=2, count=2, build=build)
    files = contents(settings)
    assert sorted(files) == ["00002.json", "00003.json", "held_out.json", "recipe.json"]
    shard = json.loads(files["00002.json"])
    assert shard["made_from"] == json.loads(files["recipe.json"])["hash"]
    assert [utterance["number"] for utterance in shard["utterances"]] == list(range(64, 96))
    assert shard["utterances"][0].keys() == {"number", "speaker", "kind", "text", "symbols"}
    assert len(json.loads(files["held_out.json"])["utterances"]) == 300
    times = {path: path.stat().st_mtime_ns for path in (settings.folder / "texts").iterdir()}
    make_texts(settings, first=1, count=3, build=build)
    assert contents(settings).keys() - files.keys() == {"00001.json"}
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_shards_made_one_by_one_equal_those_made_at_once(
    settings: TrainingSettings, build: Any, tmp_path: Path
) -> None:
    for first in (1, 0):
        make_texts(settings, first=first, count=1, build=build)
    at_once = replace(settings, folder=tmp_path / "at_once")
    make_texts(at_once, first=0, count=2, build=build)
    files, others = contents(settings), contents(at_once)
    assert files.keys() == others.keys()
    assert all(files[name] == others[name] for name in files if name != "recipe.json")


def test_nothing_is_loaded_if_all_is_there(settings: TrainingSettings, build: Any) -> None:
    make_texts(settings, first=0, count=1, build=build)

    def fail(name: str) -> Phonemizer:
        raise AssertionError

    make_texts(settings, first=0, count=1, build=fail)


@pytest.mark.parametrize("name", ["00000.json", "held_out.json"])
def test_a_cut_file_is_made_again(name: str, settings: TrainingSettings, build: Any) -> None:
    make_texts(settings, first=0, count=1, build=build)
    files = contents(settings)
    (settings.folder / "texts" / name).write_bytes(files[name][:1000])
    make_texts(settings, first=0, count=1, build=build)
    assert contents(settings) == files


def test_a_stop_is_taken_between_shards(settings: TrainingSettings, build: Any) -> None:
    stops = iter((False, True))
    make_texts(settings, first=0, count=5, build=build, should_stop=lambda: next(stops))
    assert sorted(contents(settings)) == ["00000.json", "held_out.json", "recipe.json"]


def test_texts_of_other_speakers_are_refused(settings: TrainingSettings, build: Any) -> None:
    make_texts(settings, first=0, count=1, build=build)
    settings.speakers_file.write_text('{"speakers": [{"name": "tara", "style": "af_heart"}]}')
    files = contents(settings)
    with pytest.raises(TrainingError, match="was made from something else"):
        make_texts(settings, first=0, count=2, build=build)
    assert contents(settings) == files


@pytest.mark.slow
@pytest.mark.skipif(not WORDNET.is_dir(), reason="needs Debian's wordnet-base")
def test_the_real_wordnet_and_phonemizer(settings: TrainingSettings) -> None:
    settings = replace(settings, wordnet_dir=WORDNET)
    make_texts(settings, first=0, count=2)
    held_out = read_json(settings.folder / "texts" / "held_out.json")["utterances"]
    assert len(held_out) == 300
    shard = read_json(settings.folder / "texts" / "00001.json")["utterances"]
    assert all(2 <= len(utterance["symbols"]) <= 190 for utterance in (*held_out, *shard))

"""Tests of the folder for a rented GPU."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.files import hash_file, read_json
from training.folder import TrainingFolder
from training.gpu_pack import pack
from training.gpu_pack.layout import num_bytes
from training.gpu_pack.pack import MAX_PACK_BYTES, write_pack
from training.gpu_pack.speech_packing import SpeechOptions
from training.gpu_pack.unpacking import check_pack
from training.keep.folder import KeptFolder
from training.keep.index import load_index
from training.shards import shard_path

BOTH = ("language_model", "decoder")


def names(folder: Path) -> set[str]:
    """Returns the files, without sources."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in files if not name.startswith("code/")}


def test_a_pack_holds_what_both_stages_need(
    trained: TrainingFolder, wheels: Path, tmp_path: Path
) -> None:
    target = tmp_path / "gpu-pack"
    lines = write_pack(target, trained, BOTH, SpeechOptions(), wheels=wheels)
    assert names(target) == {
        *("pack.json", "run.py", "wheels/snac-1.2.1-py3-none-any.whl"),
        *(f"kept/{name}" for name in ("index.json", "encoder.safetensors", "held_out.json")),
        *(f"kept/recipes/{stage}.json" for stage in ("texts", "speech", "tokens")),
        "kept/tokens/00000.safetensors",
        *(f"states/{stage}{suffix}" for stage in BOTH for suffix in (".safetensors", ".json")),
        *("speech/speech.json", *(f"speech/{number:05}.opus" for number in range(3))),
    }
    assert (target / "code" / "training" / "gpu_pack" / "remote.py").is_file()
    manifest = check_pack(target)
    assert manifest["stages"] == list(BOTH)
    assert manifest["encoder"] == hash_file(trained.encoder)
    assert len(load_index(KeptFolder(target / "kept")).parts) == 1
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        *("packages", "sources", "codec and tokens", *BOTH, "speech")
    ]
    assert lines[3] == "language_model: from step 101, 0.00 MB, exact"
    assert lines[-1].endswith("of 28 MB")


def test_each_stage_alone_needs_less(trained: TrainingFolder, wheels: Path, tmp_path: Path) -> None:
    target = tmp_path / "gpu-pack"
    write_pack(target, trained, ["language_model"], SpeechOptions(), wheels=wheels)
    found = names(target)
    assert not any(name.startswith(("speech/", "states/decoder")) for name in found)
    assert "kept/tokens/00000.safetensors" in found
    write_pack(target, trained, ["decoder"], SpeechOptions(), wheels=wheels)
    found = names(target)
    assert "speech/00002.opus" in found
    assert not any(name.startswith(("kept/tokens", "states/language")) for name in found)


def test_states_are_rounded_where_they_would_not_fit(
    trained: TrainingFolder, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "gpu-pack"
    monkeypatch.setattr(pack, "MAX_STATE_BYTES", {"language_model": 1_500, "decoder": 10})
    lines = write_pack(target, trained, BOTH, SpeechOptions(), wheels=wheels)
    assert not lines[3].endswith("exact")
    assert lines[4].startswith("decoder: begins anew, since its state takes 0.0 MB")
    assert not (target / "states" / "decoder.safetensors").exists()


def test_speech_fills_what_is_left_of_28_megabytes(
    trained: TrainingFolder, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PACK_BYTES == 28_000_000
    target = tmp_path / "gpu-pack"
    write_pack(target, trained, ["decoder"], SpeechOptions(), wheels=wheels)
    size = num_bytes(target)
    # Space for two shards of three, and for the list, which is 100 kB at most.
    monkeypatch.setattr(pack, "MAX_PACK_BYTES", size + 100_000 - 16_000)
    write_pack(target, trained, ["decoder"], SpeechOptions(), wheels=wheels)
    assert len(list((target / "speech").glob("*.opus"))) < 3
    assert num_bytes(target) <= pack.MAX_PACK_BYTES


def test_a_pack_that_is_too_large_is_one_line(
    trained: TrainingFolder, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "MAX_PACK_BYTES", 100_000)
    with pytest.raises(TrainingError, match=r"has 0\.\d MB: at most 0; pack one stage alone"):
        write_pack(tmp_path / "gpu-pack", trained, BOTH, SpeechOptions(), wheels=wheels)


def test_only_a_pack_is_replaced(trained: TrainingFolder, wheels: Path, tmp_path: Path) -> None:
    (tmp_path / "gpu-pack").mkdir()
    (tmp_path / "gpu-pack" / "thesis.tex").write_text("important")
    with pytest.raises(TrainingError, match=r"is not a pack \(no pack.json\): it is not replaced"):
        write_pack(tmp_path / "gpu-pack", trained, BOTH, SpeechOptions(), wheels=wheels)
    assert (tmp_path / "gpu-pack" / "thesis.tex").is_file()


def test_before_the_encoder_is_frozen_there_is_nothing_to_pack(
    trained: TrainingFolder, wheels: Path, tmp_path: Path
) -> None:
    trained.encoder.unlink()
    with pytest.raises(TrainingError, match="run the stage codes first"):
        write_pack(tmp_path / "gpu-pack", trained, BOTH, SpeechOptions(), wheels=wheels)


def test_a_cut_file_of_a_pack_is_one_line(
    trained: TrainingFolder, wheels: Path, tmp_path: Path
) -> None:
    target = tmp_path / "gpu-pack"
    write_pack(target, trained, BOTH, SpeechOptions(), wheels=wheels)
    path = target / "speech" / "00001.opus"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TrainingError, match="00001.opus is missing, cut or of another pack"):
        check_pack(target)
    assert read_json(target / "pack.json")["stages"] == list(BOTH)
    assert shard_path(trained.speech, 1).is_file()

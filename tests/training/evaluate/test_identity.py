import json
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.evaluate.identity import identify


def write_checkpoint(folder: Path, *, temperature: float = 0.6, name: str = "pocket") -> None:
    (folder / "codec").mkdir(parents=True, exist_ok=True)
    (folder / "codec" / "model.safetensors").write_bytes(b"codec")
    (folder / "model.safetensors").write_bytes(b"model")
    description = {"name": name, "sampling": {"temperature": temperature}}
    (folder / "speech.json").write_text(json.dumps(description))


def test_the_hash_is_of_what_decides_the_sound(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    before = identify(tmp_path)
    assert set(before.files) == {"codec/model.safetensors", "model.safetensors", "speech.json"}
    write_checkpoint(tmp_path, temperature=0.8)
    (tmp_path / "NOTICE").write_text("licences")
    assert identify(tmp_path).hash == before.hash
    assert identify(tmp_path).files != before.files
    (tmp_path / "codec" / "model.safetensors").write_bytes(b"other")
    assert identify(tmp_path).hash != before.hash


def test_a_folder_without_a_description_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no speech\.json"):
        identify(tmp_path)

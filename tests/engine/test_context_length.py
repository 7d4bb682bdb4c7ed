"""The context length in `config.json`."""

from pathlib import Path

import pytest

from orpheus_server.engine.context_length import own_max_len
from orpheus_server.errors import StartError
from orpheus_server.runtime.serving_config import POCKET_FOLDER


def test_of_the_bundled_voice() -> None:
    assert own_max_len(POCKET_FOLDER) == 2048


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"max_position_embeddings": "x"}'])
def test_a_folder_that_is_not_a_model(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(StartError, match=r"config\.json is not the configuration of a Llama"):
        own_max_len(tmp_path)

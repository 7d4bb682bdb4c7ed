"""A packaged voice in the real server: vLLM, the slot mask and the codec."""

from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess
from tests.training.package.voices import VOICES, random_sources
from training.package.build import build_voice


@pytest.mark.slow  # starts an engine of its own, as the smoke run of the chain does
@pytest.mark.engine
def test_a_packaged_voice_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "voice"
    build_voice(folder, "tiny", random_sources(), VOICES, sampling={})
    with ServerProcess(tmp_path, TTS_MODEL_NAME=str(folder), TTS_MAX_ATTEMPTS="1") as server:
        result = server.speak("Yes.")
    assert (result.status, result.is_whole) == (200, True)
    # Two frames of 16-bit samples.
    assert result.num_bytes >= 2 * 2 * 2048

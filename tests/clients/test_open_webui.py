"""Open WebUI's own functions for lists and speech."""

import pytest

from tests.clients.conftest import Address
from tests.support.clients import NO_WORDS, SENTENCE, check_texts, is_installed, run_python

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("end", ["", "/"])
def test_lists_and_speech(address: Address, end: str) -> None:
    """Open WebUI asks for its lists without a key, and puts `/audio/voices` after the slash.

    It showed six of OpenAI's voices and two of its models instead of the server's.
    """
    if not is_installed("open-webui"):
        pytest.skip("open-webui needs Python below 3.13")
    result = run_python("open_webui_functions", address.url + end, address.key, SENTENCE, NO_WORDS)
    assert set(result["voices"]) == {"rms", "slt"}
    models = [model["id"] for model in result["models"]]
    assert models[:2] == ["pocket", "orpheus"]
    check_texts(result["spoken"], "mp3", slack_sec=0.1)

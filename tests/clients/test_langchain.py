"""LangChain's chat with audio."""

import base64

import pytest

from tests.clients.conftest import Address
from tests.support.clients import check_speech, run_python
from tests.support.speech import decode

pytestmark = pytest.mark.clients

FIRST, SECOND = "The first sentence of this turn.", "And then there is the second one."


def test_a_spoken_turn_stays_in_the_conversation(address: Address) -> None:
    """LangChain sends the turn with its audio id and blank text: it was lost in silence.

    The two messages around it became one, which the echo model repeated.
    """
    result = run_python("langchain_chat", address.url, address.key, FIRST, SECOND)
    assert result["content_of_the_turn"] == ""
    first, second = result["replies"]
    assert [first["transcript"], second["transcript"]] == [FIRST, SECOND]
    for reply, text in ((first, FIRST), (second, SECOND)):
        check_speech(decode("wav", base64.b64decode(reply["data"])), text)

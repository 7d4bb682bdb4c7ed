"""Wire types of `POST /v1/chat`."""

import pytest
from pydantic import ValidationError

from orpheus_server.api.schemas.chat import ChatRequest


def test_a_history_is_read_up_to_its_first_mistake() -> None:
    # Every message was a mistake of its own.
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"message": "Hi.", "history": [1] * 1000})
    assert caught.value.error_count() == 1

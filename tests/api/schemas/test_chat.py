"""Wire types of `POST /v1/chat`."""

import pytest
from pydantic import ValidationError

from orpheus_server.api.schemas.chat import ChatRequest


def test_validation_of_a_history_stops_at_the_first_error() -> None:
    # Every message produced an error.
    with pytest.raises(ValidationError) as caught:
        ChatRequest.model_validate({"message": "Hi.", "history": [1] * 1000})
    assert caught.value.error_count() == 1

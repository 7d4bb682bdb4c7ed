"""Parses the messages of a client as events of the protocol."""

import json

from pydantic import ValidationError

from orpheus_server.api.realtime.events import CLIENT_EVENT, CLIENT_EVENT_TYPES, ClientEvent
from orpheus_server.errors import ForeignMessage, RequestError

_MAX_PROBLEM_CHARS = 200
"""The error message repeats an unknown type, which may be a megabyte long."""


def parse_event(text: str | None) -> ClientEvent:
    """Parses a text message; None stands for a binary one.

    Raises `ForeignMessage` if it is not an event, and `RequestError` if a field of it is invalid.
    """
    if text is None:
        raise ForeignMessage(
            "Binary messages are not accepted; send events as JSON text.",
            param=None,
            code="invalid_event",
        )
    try:
        return CLIENT_EVENT.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        # The location is the type of the event, then the field, then the path inside the field.
        field = next(iter(problem["loc"][1:2]), None)
        reason = problem["msg"][:_MAX_PROBLEM_CHARS]
        if field is not None:
            raise RequestError(
                f"{field!r}: {reason}.", param=str(field), code="invalid_event"
            ) from error
        kind = RequestError if _names_an_event(text) else ForeignMessage
        raise kind(
            f"Not an event of this protocol: {reason}.", param=None, code="invalid_event"
        ) from error


def _names_an_event(text: str) -> bool:
    """True if Python's parser finds the type of an event in a message that pydantic's rejects.

    Pydantic's rejects half of a surrogate pair, which a browser sends if it splits a text within an
    emoji.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("type") in CLIENT_EVENT_TYPES


def out_of_order(event: str, reason: str) -> RequestError:
    """The error for an event that is not allowed now."""
    return RequestError(
        f"{event!r} is out of order: {reason}.", param="type", code="event_out_of_order"
    )

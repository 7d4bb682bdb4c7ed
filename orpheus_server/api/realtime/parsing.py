"""Parses the messages of a client as events of the protocol."""

import json

from pydantic import ValidationError
from pydantic_core import from_json

from orpheus_server.api.realtime.events import CLIENT_EVENT, CLIENT_EVENT_TYPES, ClientEvent
from orpheus_server.errors import ForeignMessage, RequestError
from orpheus_server.server.validation import find_problem

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
        raise _invalid(error, text) from error


def _invalid(error: ValidationError, text: str) -> RequestError:
    errors = error.errors(include_url=False)
    is_event = bool(errors[0]["loc"])
    # The location begins with the type of the event.
    located = [{**each, "loc": each["loc"][1:]} for each in errors]
    problem = find_problem(located, from_json(text) if is_event else None)
    if is_event:
        return RequestError(
            problem.message[:_MAX_PROBLEM_CHARS], param=problem.field, code="invalid_event"
        )
    kind = RequestError if _names_an_event(text) else ForeignMessage
    message = f"Not an event of this protocol: {problem.message}"
    return kind(message[:_MAX_PROBLEM_CHARS], param=problem.field, code="invalid_event")


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

"""Parses the messages of a client as events of the protocol."""

from pydantic import ValidationError

from orpheus_server.api.realtime.events import CLIENT_EVENT, ClientEvent
from orpheus_server.errors import RequestError

_MAX_PROBLEM_CHARS = 200
"""The error message repeats an unknown type, which may be a megabyte long."""


def parse_event(text: str | None) -> ClientEvent:
    """Parses a text message; None stands for a binary one. Raises `RequestError`."""
    if text is None:
        raise RequestError(
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
        subject = "Not an event of this protocol" if field is None else repr(field)
        raise RequestError(
            f"{subject}: {problem['msg'][:_MAX_PROBLEM_CHARS]}.",
            param=None if field is None else str(field),
            code="invalid_event",
        ) from error


def out_of_order(event: str, reason: str) -> RequestError:
    """The error for an event that is not allowed now."""
    return RequestError(
        f"{event!r} is out of order: {reason}.", param="type", code="event_out_of_order"
    )

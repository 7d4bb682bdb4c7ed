"""Messages of a session's client, read as events of the protocol."""

from pydantic import ValidationError

from orpheus_server.api.realtime.events import CLIENT_EVENT, ClientEvent
from orpheus_server.errors import RequestError

_MAX_PROBLEM_CHARS = 200
"""An unknown type is told back to its sender, but not a megabyte of it."""


def parse_event(text: str | None) -> ClientEvent:
    """The event in a text message, None being a binary one. Raises `RequestError`."""
    if text is None:
        raise RequestError(
            "Binary messages are not for the server: send events as JSON text.",
            param=None,
            code="invalid_event",
        )
    try:
        return CLIENT_EVENT.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        # Behind the type of the event stands the field, then what is inside of it.
        field = next(iter(problem["loc"][1:2]), None)
        subject = "The message is no event of this protocol" if field is None else repr(field)
        raise RequestError(
            f"{subject}: {problem['msg'][:_MAX_PROBLEM_CHARS]}.",
            param=None if field is None else str(field),
            code="invalid_event",
        ) from error


def out_of_order(event: str, reason: str) -> RequestError:
    """The refusal of an event that cannot come now."""
    return RequestError(
        f"{event!r} is out of order: {reason}.", param="type", code="event_out_of_order"
    )

"""What is wrong with a request, from pydantic's errors: one field and one sentence."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_Path = tuple[str | int, ...]


class Problem(NamedTuple):
    """`field` is the outermost field, None for the whole value; `kind` is pydantic's error type."""

    field: str | None
    kind: str
    message: str


def find_problem(errors: Sequence[Any], value: object) -> Problem:
    """Returns the real fault of the first invalid field of `value`.

    A field of several types has an error for each of them. The deepest one belongs to the type that
    was meant; of two, one that is not about the type itself.
    """
    located = [(tuple(_path(error, value)), error) for error in errors]
    field = located[0][0][:1]
    of_field = [each for each in located if each[0][:1] == field]
    path, error = max(of_field, key=lambda each: (len(each[0]), not _is_about_type(each[1])))
    message = error["msg"]
    if _is_about_type(error):
        texts = [_text(other) for where, other in of_field if where == path]
        message = " or ".join(dict.fromkeys(texts)).replace(" or Input should be", " or")
    where = f"{_written(path)!r}: " if path else ""
    if error["type"] == "missing" and path:
        where, message = _missing(path)
    return Problem(str(field[0]) if field else None, error["type"], f"{where}{message}.")


def _path(error: Any, value: Any) -> Iterator[str | int]:
    """Yields the location of an error without the names of types, which are not in the value."""
    location: _Path = error["loc"]
    for index, part in enumerate(location, start=1):
        is_field = isinstance(value, dict) and part in value
        if is_field or (isinstance(value, list) and isinstance(part, int)):
            value = value[part]
            yield part
        elif error["type"] == "missing" and index == len(location):
            yield part


def _is_about_type(error: Any) -> bool:
    return str(error["type"]).endswith("_type")


def _text(error: Any) -> str:
    # pydantic's message names Python's types.
    is_object = error["type"] in ("model_type", "model_attributes_type")
    return "Input should be an object" if is_object else str(error["msg"])


def _written(path: _Path) -> str:
    first, *rest = path
    return str(first) + "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest
    )


def _missing(path: _Path) -> tuple[str, str]:
    *outer, name = path
    if not outer:
        return "", f"{name!r} is required"
    return f"{_written(tuple(outer))!r}: ", f"{name!r} is missing"

"""The base of every request and event of a client: which values stand for a field left out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

_NULL = {"type": "null"}
_ABOUT_THE_FIELD = ("title", "description", "default", "examples")


class RequestModel(BaseModel):
    """A JSON object from a client, in which null means that the field was left out."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict) or None not in data.values():
            return data
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Documents that every field may be null unless it is required."""
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)
        for name, field in fields["properties"].items():
            if name not in fields.get("required", ()):
                _allow_null(field)
        return schema


def _allow_null(field: JsonSchemaValue) -> None:
    if _NULL in field.get("anyOf", ()):
        return
    value = {key: field.pop(key) for key in list(field) if key not in _ABOUT_THE_FIELD}
    field["anyOf"] = [*(value.get("anyOf") or [value]), _NULL]


def _none_if_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _none_if(absent: int | str) -> Callable[[Any], Any]:
    return lambda value: None if type(value) is type(absent) and value == absent else value


@dataclass(frozen=True, slots=True)
class NoLimit:
    """For a number of tokens: -1, which its range excludes, stands for no limit.

    `value` is the form in which it is sent.
    """

    value: int | str = -1

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(_none_if(self.value), handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer", "const": -1}, *handler(core_schema)["anyOf"]]}


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Integer = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]

Name = Annotated[str | None, BeforeValidator(_none_if_blank)]
"""The name of a model, a voice or a format; a blank one stands for the default."""

Seed = Annotated[
    Annotated[Integer, Field(ge=-(2**63), le=2**63 - 1)] | None, BeforeValidator(_none_if(-1))
]
"""-1 stands for no seed."""

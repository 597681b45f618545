"""Rows of settings that are checked by pydantic, with what it refuses as one sentence."""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from headrace.core.errors import ConfigError
from headrace.core.spelling import meant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What was expected, by pydantic's names of what is wrong; blanks are filled from its bounds.
_EXPECTED: Final = {
    "bool_parsing": "True or False",
    "bool_type": "True or False",
    "decimal_max_digits": "a number of at most {max_digits} digits",
    "decimal_max_places": "a number with at most {decimal_places} digits after the point",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
    "decimal_whole_digits": "a number of at most {whole_digits} digits before the point",
    "dict_type": "a dict",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "is_instance_of": "of type {class}",
    "less_than": "below {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "model_type": "of type {class_name}, or a dict of its fields",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "tuple_type": "a list",
}


def matching(pattern: str, expected: str) -> AfterValidator:
    """The check of a field whose text has to match all of ``pattern``, which is ``expected``."""
    found = re.compile(pattern)

    def check(value: str) -> str:
        if not found.fullmatch(value):
            msg = f"it must be {expected}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


class Checked(BaseModel):
    """A frozen row of settings, which raises ``ConfigError`` when it is made of wrong ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    if not TYPE_CHECKING:  # checkers and editors know the fields of each class better

        def __init__(self, *unnamed: object, **given: Any) -> None:
            name = type(self).__name__
            if unnamed:
                raise ConfigError(
                    f"{name} takes its fields by name: {', '.join(type(self).model_fields)}"
                )
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise ConfigError(f"{name}: {self.complaint(error)}") from None

        # So pydantic makes nested and validated ones itself, as if there were no __init__ here.
        __init__.__pydantic_base_init__ = True  # pydantic's own mark

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [
            (name, value) for name, value in super().__repr_args__() if value not in (None, (), {})
        ]

    @classmethod
    def complaint(cls, error: ValidationError) -> str:
        """The first thing that is wrong: where, what is expected, and what there was."""
        first = error.errors(include_url=False)[0]
        steps = (f": number {p + 1}" if isinstance(p, int) else f".{p}" for p in first["loc"])
        where = "".join(steps).lstrip(".: ").replace(".[key]", " as a name in it")
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            return f"{where}: there is no such field{meant(name, _fields(cls, first['loc']))}"
        if first["type"] == "missing":
            return f"{where}: it is missing"
        if (expected := _EXPECTED.get(first["type"])) is not None:
            said = f"it must be {expected.format(**first.get('ctx', {}))}"
        else:
            said = first["msg"].removeprefix("Value error, ")
        if where and first["type"] == "value_error" and isinstance(first["input"], dict):
            return f"{where}: {said}"  # fields that contradict each other are in the sentence
        return f"{where}: {said}, not {reprlib.repr(first['input'])}" if where else said


def _fields(kind: Any, steps: Sequence[object]) -> Iterable[str]:  # noqa: ANN401  of any model
    """The names that stand beside the one at the end of these steps into a row of this kind."""
    for step in steps[:-1]:
        field = getattr(kind, "model_fields", {}).get(step)
        inner = () if field is None else (field.annotation, *get_args(field.annotation))
        kind = next((each for each in inner if hasattr(each, "model_fields")), None)
    return getattr(kind, "model_fields", ())

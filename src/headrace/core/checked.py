"""Rows of settings that are checked by pydantic, with what it refuses as one sentence."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.core.errors import ConfigError
from headrace.core.spelling import meant


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
        where = "".join(steps).lstrip(".: ")
        if first["type"] == "extra_forbidden":
            known = cls.model_fields if "." not in where else ()
            return f"{where}: there is no such field{meant(where, known)}"
        if first["type"] == "missing":
            return f"{where}: it is missing"
        said = first["msg"].removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]
        return f"{where}: {said} (it was {reprlib.repr(first['input'])})" if where else said

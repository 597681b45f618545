"""What an answer has to look like: a JSON schema, and how a text becomes a value of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The shape that is asked for. Two are equal when their JSON schemas are.

    ``parse`` makes a value of an answer's text, or raises ``ValueError`` with what is wrong.
    """

    name: str
    json: str
    parse: Callable[[str], object] = field(compare=False, repr=False)

    @property
    def schema(self) -> dict[str, object]:
        """The JSON schema, as a dict of your own."""
        found: dict[str, object] = orjson.loads(self.json)
        return found

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return ["schema", self.schema]

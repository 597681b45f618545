"""The rows of ``headrace embed``: one text each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.fields import Fields
from headrace.cli.shapes import Asked, batch_body
from headrace.core.errors import BadRowError
from headrace.core.operations import Embed
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What of a request for vectors has a name of its own here.
_OPTIONS: Final = ("dimensions", "input_type")
# What the body of a batch row holds beside it, or what headrace decides itself.
_NOT_PARAMETERS: Final = frozenset({*_OPTIONS, "model", "input", "encoding_format"})
PARAMETERS: Final = ("extra_body", "extra_headers", "on_unsupported")
"""Of the sampling parameters, those that mean something where nothing is sampled."""


@dataclass(frozen=True, slots=True)
class _Unreadable(Embed):
    """Stands where a text would: whoever checks it gets the reason as ``BadRowError``."""

    def check(self) -> None:
        """Raise it."""
        raise BadRowError(str(self.input))


def _text(data: dict[str, object], given: Sequence[str]) -> Asked:
    if given:
        return _asked(data, given[0], data.get("params"))
    body = batch_body(data, "embed", "input", ("params", *_OPTIONS))
    more = {k: v for k, v in body.items() if v is not None and k not in _NOT_PARAMETERS}
    return _asked(body, "input", {"extra_body": more} if more else None)


def _asked(data: Mapping[str, Any], field: str, params: object) -> Asked:
    text = data[field]
    if isinstance(text, list):
        raise BadRowError(
            f'"{field}" is a list; give each text a row of its own (many go out together anyway)'
        )
    asked = Embed(text, data.get("dimensions"), data.get("input_type"))
    return Asked(asked, None if params is None else _params(params))


def _params(given: object) -> SamplingParams:
    params = SamplingParams.from_row(given)
    for name in params.given():
        if name not in PARAMETERS:
            raise BadRowError(
                f'params: {name} means nothing for vectors; leave it out, or put it in "extra_body"'
            )
    return params


TEXTS: Final = Fields(
    command="embed",
    prompts=("input", "text", "prompt"),
    more=_OPTIONS,
    parameters=frozenset(PARAMETERS),
    elsewhere={"messages": "give conversations to headrace run"},
    asked=_text,
    bad=_Unreadable,
)

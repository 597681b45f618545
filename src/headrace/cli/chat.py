"""The rows of ``headrace run``: prompts and conversations, with tools and schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Never, cast

from headrace.cli.fields import Fields
from headrace.cli.shapes import Asked, batch_asked, take_shape, with_body
from headrace.core.errors import BadRowError
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.conversation import Prompt


class Unreadable(list[Mapping[str, object]]):
    """Stands where a prompt would: whoever reads it gets the reason as ``BadRowError``.

    So a bad row goes the way of all rows, is counted with them and keeps its place in the order.
    """

    def __init__(self, reason: str) -> None:
        """Not empty, since an empty prompt has an error of its own."""
        super().__init__([{}])
        self._reason = reason

    def __iter__(self) -> Never:
        raise BadRowError(self._reason)


def _chat(data: dict[str, object], given: Sequence[str]) -> Asked:
    if not given:
        return batch_asked(data)
    params, shape = data.get("params"), take_shape(data)
    own = None if params is None else SamplingParams.from_row(params)
    if "response_format" in data:  # without a schema it is one server's own
        own = SamplingParams.from_row(with_body(own, data["response_format"]))
    return Asked(cast("Prompt", data[given[0]]), own, data.get("tools"), shape)


_IN_CONTENT: Final = 'put it into "messages", as a part of a message\'s content'
CHAT: Final = Fields(
    command="run",
    prompts=("prompt", "messages"),
    more=("tools", "output_schema", "response_format"),
    parameters=frozenset(SamplingParams.model_fields),
    # What a row may ask for beside its text, and where it belongs.
    elsewhere={
        "system": 'put it into "messages", as {"role": "system", "content": …}',
        "image": _IN_CONTENT,
        "images": _IN_CONTENT,
        "functions": 'put them into "tools"',
    },
    asked=_chat,
    bad=Unreadable,
)

"""Prompts as Ollama reads them: a message is one text, with its images beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import RejectedError
from headrace.core.media import File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall
from headrace.wire import draft, reading, turns
from headrace.wire.draft import Draft, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part

PATH: Final = "/api/chat"
WIRE: Final = "ollama"

_WHO: Final = "Ollama"
_OPTIONS: Final = (
    ("max_tokens", "num_predict"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("stop", "stop"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
_SENT_AS_NAMED: Final = ("logprobs", "top_logprobs")
_NOT_CARRIED: Final = ("safety_settings", "service_tier")
# The levels that Ollama knows, and the nearest to those that it does not.
_LEVELS: Final[Mapping[str, object]] = {
    "none": False,
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
}
_NEAREST: Final = {"minimal": "low", "xhigh": "high"}


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. ``stream`` is always said, since Ollama streams where it is not.

    What is unset is not sent; ``extra_body`` is merged in last, and the ``options`` in it are
    merged into those that are there. Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, messages = context.params, context.conversation.messages
    gaps = Unsupported(params)
    gaps.unnamed(messages, _WHO)
    names = turns.names_of_calls(messages) if len(messages) > 1 else {}
    body: dict[str, object] = {
        "model": route.model.name,
        "messages": [turn for message in messages for turn in _turns(message, names, gaps)],
        "stream": stream,
    }
    if context.tools:
        _add_tools(body, context, gaps)
    if context.output_schema is not None:
        body["format"] = context.output_schema.schema
    if params is None:
        return Draft(PATH, reading.write(body), (), gaps.told())
    _add(body, params, gaps)
    draft.merge(body, params.extra_body, within=("options",))
    headers = tuple((params.extra_headers or {}).items())
    return Draft(PATH, reading.write(body), headers, gaps.told())


# Messages.


def _turns(
    message: Message, names: Mapping[str, str], gaps: Unsupported
) -> Iterator[dict[str, object]]:
    """A message as it is sent: as several where it holds results of tools."""
    role, content = message.role, message.content
    if type(content) is str:
        yield {"role": role, "content": content}
    elif role == "system":
        yield {"role": role, "content": turns.only_text(message)}
    elif role == "assistant":
        if turn := _answered(message, gaps):
            yield {"role": role, "content": "", **turn}
    else:
        results, rest = turns.results_and_rest(message, _WHO, gaps)
        for result in results:
            said = turns.text_of_result(result, _WHO, gaps)
            turn = {"role": "tool", "content": said, "tool_call_id": result.id}
            if name := result.name or names.get(result.id):
                turn["tool_name"] = name
            yield turn
        if turn := _said(rest, gaps):
            yield {"role": "user", "content": "", **turn}


def _said(parts: Sequence[Part], gaps: Unsupported) -> dict[str, object]:
    texts: list[str] = []
    images: list[str] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part.text)
        elif isinstance(part, Image):
            images.append(_image(part, gaps))
        elif isinstance(part, File):
            texts.append(turns.text_of_file(part, _WHO, gaps))
        elif isinstance(part, Opaque):
            gaps.own(part, "ollama", _WHO)  # it has none
        elif not isinstance(part, CacheBreakpoint):
            raise turns.refuse_part(part, "user", _WHO)
    found: dict[str, object] = {"content": "\n".join(texts)} if texts else {}
    return {**found, "images": images} if images else found


def _image(image: Image, gaps: Unsupported) -> str:
    if image.data is None:
        msg = "Ollama fetches no images; send this one's bytes, with Image.from_bytes or from_path"
        raise RejectedError(msg)
    if image.detail not in {None, "auto"}:
        gaps.adapt("the detail of an image is left out: Ollama has none")
    return image.base64


def _answered(message: Message, gaps: Unsupported) -> dict[str, object]:
    turn: dict[str, object] = {}
    thoughts = [p.text for p in message.parts if isinstance(p, Thinking) and p.wire is None]
    calls = [_call(part, gaps) for part in message.parts if isinstance(part, ToolCall)]
    for part in message.parts:
        if isinstance(part, Image | File):
            raise turns.refuse_part(part, "assistant", _WHO)
    rest = [part for part in message.parts if not isinstance(part, Thinking | ToolCall)]
    if thoughts:
        turn["thinking"] = "".join(thoughts)
    if calls:
        turn["tool_calls"] = calls
    return {**turn, **_said(rest, gaps)}


def _call(call: ToolCall, gaps: Unsupported) -> dict[str, object]:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if type(arguments) is not dict:
        gaps.adapt(
            'arguments of a call that are no JSON object are sent as {"input": ...}:'
            " Ollama takes objects alone"
        )
        arguments = {"input": call.arguments}
    named = {"id": call.id} if call.id else {}
    return {**named, "function": {"name": call.name, "arguments": arguments}}


# Tools and parameters.


def _add_tools(body: dict[str, object], context: RequestContext, gaps: Unsupported) -> None:
    params = context.params
    choice = None if params is None else params.tool_choice
    if choice == "none":
        gaps.adapt('tool_choice="none": no tools are sent, as Ollama cannot forbid their use')
        return
    rows = turns.function_tools(context.tools, params, _WHO, gaps)
    if not rows:
        return
    body["tools"] = rows
    if choice not in {None, "auto"}:
        gaps.adapt(f"tool_choice={choice!r}: Ollama may answer without a call all the same")


def _add(body: dict[str, object], params: SamplingParams, gaps: Unsupported) -> None:
    options = {
        sent_as: value for name, sent_as in _OPTIONS if (value := getattr(params, name)) is not None
    }
    if options:
        body["options"] = options
    for name in _SENT_AS_NAMED:
        if (value := getattr(params, name)) is not None:
            body[name] = value
    gaps.drop(params, _NOT_CARRIED, _WHO)
    turns.note_calls(params, _WHO, gaps, has_tools="tools" in body)
    if params.reasoning_effort is not None or params.thinking_budget is not None:
        body["think"] = _think(params.reasoning_effort, params.thinking_budget, gaps)


def _think(effort: str | None, budget: int | None, gaps: Unsupported) -> object:
    if budget == 0:
        return False
    if budget is not None:
        gaps.adapt("thinking_budget is left out: Ollama has none; reasoning_effort= has levels")
    if effort is None:
        return True
    if (nearest := _NEAREST.get(effort)) is not None:
        gaps.adapt(f"reasoning_effort={effort!r} is sent as {nearest}: Ollama has no such level")
        return nearest
    return _LEVELS[effort]

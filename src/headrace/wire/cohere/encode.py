"""Prompts as Cohere reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import RejectedError
from headrace.core.media import File, Image
from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall
from headrace.core.tools import Tool
from headrace.wire import draft, reading, shaped, turns
from headrace.wire.cohere.shape import taken
from headrace.wire.draft import Draft, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.core.model import Route
    from headrace.core.params import SamplingParams
    from headrace.core.parts import Part, ToolResult
    from headrace.core.schema import OutputSchema

PATH: Final = "/v2/chat"
WIRE: Final = "cohere"
PLAN: Final = "tool_plan"
"""The signature of thinking that stood in ``tool_plan``, where it is sent back to."""

_WHO: Final = "Cohere"
_SENT_AS: Final = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_k", "k"),
    ("stop", "stop_sequences"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
    ("logprobs", "logprobs"),
)
_NOT_CARRIED: Final = ("min_p", "top_logprobs", "service_tier")
_LEAST_P, _MOST_P = 0.01, 0.99
_DETAILS: Final = frozenset({"auto", "low", "high"})
_CHOICES: Final = {"none": "NONE", "required": "REQUIRED"}
# Thinking without a bound is what these ask for anyway.
_UNBOUNDED: Final = frozenset({"high", "xhigh", "max"})


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request. What is unset is not sent; ``extra_body`` is merged in last.

    Raises ``RejectedError`` for what the dialect cannot carry.
    """
    params, messages = context.params, context.conversation.messages
    if all(message.role == "system" for message in messages):
        msg = "the prompt holds system messages only, which Cohere refuses; add one of the user"
        raise RejectedError(msg)
    gaps = Unsupported(params)
    gaps.unnamed(messages, _WHO)
    sent = [turn for message in messages for turn in _turns(message, gaps)]
    body: dict[str, object] = {"model": route.model.name, "messages": sent, "stream": stream}
    if context.tools:
        _add_tools(body, context, gaps)
    if context.output_schema is not None:
        _add_schema(body, sent, context.output_schema, gaps)
    if params is None:
        return Draft(PATH, reading.write(body), (), gaps.told())
    _add(body, params, gaps)
    draft.merge(body, params.extra_body)
    headers = tuple((params.extra_headers or {}).items())
    return Draft(PATH, reading.write(body), headers, gaps.told())


# Messages.


def _turns(message: Message, gaps: Unsupported) -> Iterator[dict[str, object]]:
    """A message as it is sent: as several where it holds results of tools."""
    role, content = message.role, message.content
    if type(content) is str:
        yield {"role": role, "content": content}
    elif role == "system":
        yield {"role": role, "content": turns.only_text(message)}
    elif role == "assistant":
        if turn := _answered(message, gaps):
            yield {"role": role, **turn}
    else:
        results, rest = turns.results_and_rest(message, _WHO, gaps)
        for result in results:
            said = _result(result, gaps)
            yield {"role": "tool", "tool_call_id": result.id, "content": said}
        if blocks := _blocks(rest, gaps):
            yield {"role": "user", "content": blocks}


def _blocks(parts: Sequence[Part], gaps: Unsupported) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for part in parts:
        if isinstance(part, Text):
            found.append({"type": "text", "text": part.text})
        elif isinstance(part, Image):
            found.append(_image(part, gaps))
        elif isinstance(part, File):
            found.append({"type": "text", "text": turns.text_of_file(part, _WHO, gaps)})
        elif isinstance(part, Opaque):
            found += gaps.own(part, WIRE, _WHO)
        elif not isinstance(part, CacheBreakpoint):
            raise turns.refuse_part(part, "user", _WHO)
    return found


def _image(image: Image, gaps: Unsupported) -> dict[str, object]:
    if image.file_id is not None:
        msg = "Cohere keeps no files, so it has no image with a file_id; send its bytes or its URL"
        raise RejectedError(msg)
    source: dict[str, object] = {"url": image.data_uri}
    if image.detail in _DETAILS:
        source["detail"] = image.detail
    elif image.detail is not None:
        gaps.adapt("the detail of an image is left out: Cohere knows auto, low and high")
    return {"type": "image_url", "image_url": source}


def _answered(message: Message, gaps: Unsupported) -> dict[str, object]:
    turn: dict[str, object] = {}
    blocks: list[dict[str, object]] = []
    calls: list[dict[str, object]] = []
    for part in message.parts:
        if isinstance(part, Thinking):
            _think(part, turn, blocks)
        elif isinstance(part, ToolCall):
            calls.append(_call(part, gaps))
        elif isinstance(part, Text | Opaque | CacheBreakpoint):
            blocks += _blocks((part,), gaps)
        else:
            raise turns.refuse_part(part, "assistant", _WHO)
    if calls:
        turn["tool_calls"] = calls
    if blocks:
        turn["content"] = blocks
    return turn


def _think(part: Thinking, turn: dict[str, object], blocks: list[dict[str, object]]) -> None:
    """Thinking goes back where it stood; what another API signed means nothing here."""
    if part.wire not in {None, WIRE}:
        return
    if part.signature == PLAN:
        turn["tool_plan"] = part.text
    else:
        blocks.append({"type": "thinking", "thinking": part.text})


def _call(call: ToolCall, gaps: Unsupported) -> dict[str, object]:
    if call.kind != "function":
        gaps.adapt(f"a call of kind {call.kind} is sent as a call of a function: Cohere has none")
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _result(result: ToolResult, gaps: Unsupported) -> str | list[dict[str, object]]:
    """A text, or documents, which an answer can cite one by one."""
    if isinstance(result.content, str) or result.is_error:
        return turns.text_of_result(result, _WHO, gaps)
    found = [_document(part) for part in result.content if not isinstance(part, Image)]
    return found or ""


def _document(part: Text | File) -> dict[str, object]:
    if isinstance(part, Text):
        try:
            data = orjson.loads(part.text)
        except orjson.JSONDecodeError:
            data = None
        document = {"data": data if type(data) is dict else {"text": part.text}}
        return {"type": "document", "document": document}
    named = {"id": part.name} if part.name else {}
    data = {"text": turns.words_of(part, _WHO)}
    return {"type": "document", "document": {**named, "data": data}}


# Tools, shapes and parameters.


def _add_tools(body: dict[str, object], context: RequestContext, gaps: Unsupported) -> None:
    params, tools = context.params, context.tools
    rows = turns.function_tools(tools, params, _WHO, gaps)
    if not rows:
        return
    body["tools"] = rows
    if all(isinstance(tool, Tool) and tool.strict for tool in tools):
        body["strict_tools"] = True
    choice = "auto" if params is None or params.tool_choice is None else params.tool_choice
    if choice != "auto":
        body["tool_choice"] = _CHOICES.get(choice, "REQUIRED")


def _add_schema(
    body: dict[str, object], sent: list[dict[str, object]], shape: OutputSchema, gaps: Unsupported
) -> None:
    schema = taken(shape.schema)
    if schema is not None and "tools" not in body:
        body["response_format"] = {"type": "json_object", "json_schema": schema}
        return
    why = (
        "no response_format beside tools"
        if "tools" in body
        else "objects alone, with a required field in each"
    )
    gaps.adapt(f"output_schema is said in a system message: Cohere takes {why}")
    sent.insert(0, {"role": "system", "content": shaped.in_words(shape)})


def _add(body: dict[str, object], params: SamplingParams, gaps: Unsupported) -> None:
    for name, sent_as in _SENT_AS:
        if (value := getattr(params, name)) is not None:
            body[sent_as] = value
    if params.top_p is not None:
        body["p"] = _top_p(params.top_p, gaps)
    gaps.drop(params, _NOT_CARRIED, _WHO)
    turns.note_calls(params, _WHO, gaps, has_tools="tools" in body)
    if params.reasoning_effort is not None or params.thinking_budget is not None:
        body["thinking"] = _thinking(params.reasoning_effort, params.thinking_budget, gaps)
    if params.safety_settings:
        _add_safety(body, params.safety_settings, gaps)


def _top_p(value: float, gaps: Unsupported) -> float:
    allowed = min(max(value, _LEAST_P), _MOST_P)
    if allowed != value:
        gaps.adapt(f"top_p={value:g} is sent as {allowed:g}: Cohere takes 0.01 to 0.99")
    return allowed


def _thinking(effort: str | None, budget: int | None, gaps: Unsupported) -> dict[str, object]:
    if effort == "none" or budget == 0:
        return {"type": "disabled"}
    if budget is not None:
        return {"type": "enabled", "token_budget": budget}
    if effort not in _UNBOUNDED:
        gaps.adapt(
            f"reasoning_effort={effort!r} is sent as thinking without a bound:"
            " Cohere knows no levels; thinking_budget= bounds it"
        )
    return {"type": "enabled"}


def _add_safety(body: dict[str, object], settings: dict[str, str], gaps: Unsupported) -> None:
    for name, value in settings.items():
        if name != "mode":
            gaps.adapt(f"safety_settings: {name} is left out: Cohere knows mode alone")
        elif "tools" in body:
            gaps.adapt("safety_settings: mode is left out: Cohere takes none beside tools")
        else:
            body["safety_mode"] = value.upper()

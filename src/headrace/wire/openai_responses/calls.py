"""Calls that the caller answers, as items and back: functions, custom tools, the computer.

What the API wants to have back with a call, and no other API knows, is its ``signature``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.errors import RejectedError
from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.parts import ToolCall

WIRE: Final = "openai_responses"
COMPUTER: Final = "computer_call"
# The kind of a call by the type of its item.
KINDS: Final = {"function_call": "function", "custom_tool_call": "custom", COMPUTER: COMPUTER}
_KEPT: Final = {
    "function": ("namespace", "caller"),
    "custom": ("namespace", "caller"),
    COMPUTER: ("id", "status", "pending_safety_checks"),
}


def read(item: Mapping[str, object], kind: str) -> ToolCall | None:
    """The call that an item is; None: unreadable."""
    if kind == COMPUTER:
        actions = item.get("actions") or item.get("action")
        call = reading.tool_call(item.get("call_id"), "computer", actions)
    else:
        given = item.get("input" if kind == "custom" else "arguments")
        call = reading.tool_call(item.get("call_id"), item.get("name"), given)
    kept = {name: item[name] for name in _KEPT[kind] if item.get(name) is not None}
    if call is None or (kind == "function" and not kept):
        return call
    try:
        signature = orjson.dumps(kept).decode() if kept else None
    except TypeError:  # deeper than orjson writes
        return None
    return replace(call, kind=kind, signature=signature)


def write(call: ToolCall) -> dict[str, object]:
    """The item that a call is; raises ``RejectedError`` for unreadable actions."""
    kept = _kept(call)
    if call.kind == COMPUTER:
        actions = _actions(call)
        named = "actions" if type(actions) is list else "action"
        fresh = {"id": call.id, "status": "completed", "pending_safety_checks": []}
        return {"type": COMPUTER, **fresh, **kept, "call_id": call.id, named: actions}
    common = {"call_id": call.id, "name": call.name}
    if call.kind == "custom":
        return {"type": "custom_tool_call", **common, "input": call.arguments, **kept}
    return {"type": "function_call", **common, "arguments": call.arguments or "{}", **kept}


def _kept(call: ToolCall) -> dict[str, object]:
    """What was kept of the item; other APIs' signatures are no JSON objects."""
    if call.signature is None:
        return {}
    found = reading.load(call.signature.encode()) or {}
    return {name: found[name] for name in _KEPT.get(call.kind, ()) if name in found}


def _actions(call: ToolCall) -> object:
    try:
        return orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        msg = (
            f"the actions of the computer call {call.id!r:.80} are no JSON; send them as they came"
        )
        raise RejectedError(msg) from None

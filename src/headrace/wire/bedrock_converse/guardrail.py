"""What a guardrail of Bedrock did, as its trace tells: the same in all of Bedrock's APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import ContentFilterError
from headrace.wire import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.reply import Reply
    from headrace.core.response import Usage

_DEPTH: Final = 12


def check(trace: object, reply: Reply, usage: Usage | None) -> None:
    """Raise ``ContentFilterError``, but where the trace says that it did no more than mask."""
    actions = list(_actions(trace))
    if actions and all(action != "BLOCKED" for action, _ in actions):
        return
    named = (name for action, name in actions if action == "BLOCKED" and name)
    category = ", ".join(dict.fromkeys(named))
    details = {"reason": "guardrail_intervened"}
    if category:
        details["category"] = reading.clean(category, 300)
    msg = "a guardrail stopped the prompt or the answer; change the prompt"
    raise ContentFilterError(msg, status=reply.status, reply=reply, usage=usage, details=details)


def _actions(value: object, depth: int = _DEPTH) -> Iterator[tuple[str, str]]:
    """What each policy did, and its name; never what it was that matched."""
    if not depth or not isinstance(value, dict | list):
        return
    action = reading.text(reading.block(value).get("action"))
    if isinstance(value, dict) and action not in {None, "NONE"}:
        yield str(action), reading.text(value.get("name")) or reading.text(value.get("type")) or ""
    for inner in value.values() if isinstance(value, dict) else value:
        yield from _actions(inner, depth - 1)

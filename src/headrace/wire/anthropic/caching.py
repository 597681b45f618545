"""Marks for Anthropic's cache of prompts: what is read up to a mark is kept. At most four."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.params import PromptCaching
    from headrace.wire.draft import Unsupported

MOST: Final = 4
_TTLS: Final = {"5m": "5m", "30m": "1h", "1h": "1h", "12h": "1h"}
_UNMARKED: Final = frozenset({"thinking", "redacted_thinking"})
_LAST: Final = {"last_user_message": 1, "last_2_user_messages": 2, "last_3_user_messages": 3}


def put(blocks: Sequence[dict[str, object]], ttl: str | None, unsupported: Unsupported) -> None:
    """Mark the last of ``blocks`` that takes a mark; where there is none, nothing is marked."""
    mark: dict[str, object] = {"type": "ephemeral"}
    if ttl is not None:
        mark["ttl"] = sent = _TTLS[ttl]
        if sent != ttl:
            unsupported.adapt(f"a cache mark of {ttl} is sent as {sent}: Anthropic has 5m and 1h")
    for block in reversed(blocks):
        if block.get("type") not in _UNMARKED:
            block["cache_control"] = mark
            return


def mark(body: dict[str, object], pattern: PromptCaching | None) -> None:
    """Put the marks of a pattern, beside those that the prompt has itself."""
    if pattern == "automatic":
        body["cache_control"] = {"type": "ephemeral"}
    elif pattern == "system_and_tools":
        for name in ("tools", "system"):
            if blocks := _blocks(body.get(name)):
                _default(blocks[-1])
    elif pattern is not None:
        turns = [turn for turn in _blocks(body["messages"]) if turn["role"] == "user"]
        for turn in turns[-_LAST[pattern] :]:
            if type(turn["content"]) is str:
                turn["content"] = [{"type": "text", "text": turn["content"]}]
            _default(_blocks(turn["content"])[-1])


def bound(body: dict[str, object], unsupported: Unsupported) -> None:
    """Take away what is more than the API allows; the last marks reach furthest, and stay."""
    marked = [block for block in _all(body) if "cache_control" in block]
    most = MOST - ("cache_control" in body)
    if len(marked) <= most:
        return
    for block in marked[:-most]:
        del block["cache_control"]
    unsupported.adapt(f"{len(marked)} cache marks: the last {most} are sent, all that are allowed")


def _default(block: dict[str, object]) -> None:
    block.setdefault("cache_control", {"type": "ephemeral"})


def _all(body: dict[str, object]) -> Iterator[dict[str, object]]:
    """All blocks, in the order in which the model reads them."""
    yield from _blocks(body.get("tools"))
    yield from _blocks(body.get("system"))
    for turn in _blocks(body["messages"]):
        yield from _blocks(turn["content"])


def _blocks(value: object) -> list[dict[str, object]]:
    return value if type(value) is list else []

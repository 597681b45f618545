"""Marks for Bedrock's cache of prompts: what is read up to a mark is kept. At most four."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.wire.draft import Unsupported

    Block: TypeAlias = dict[str, object]

MOST: Final = 4
_NAME: Final = "cachePoint"
_TTLS: Final = {"5m": "5m", "30m": "1h", "1h": "1h", "12h": "1h"}
_LAST_USERS: Final = {
    "automatic": 1,
    "last_user_message": 1,
    "last_2_user_messages": 2,
    "last_3_user_messages": 3,
}


def point(ttl: str | None, unsupported: Unsupported) -> Block:
    """The mark that Bedrock shall keep what it read up to here."""
    if ttl is None:
        return {_NAME: {"type": "default"}}
    sent = _TTLS[ttl]
    if sent != ttl:
        unsupported.adapt(f"a cache mark of {ttl} is sent as {sent}: Bedrock has 5m and 1h")
    return {_NAME: {"type": "default", "ttl": sent}}


def mark(body: dict[str, Any], pattern: str) -> None:
    """Put the marks of a pattern, where there is none already."""
    places: list[list[Block]] = []
    if pattern in {"automatic", "system_and_tools"}:
        places += [body.get("toolConfig", {}).get("tools", []), body.get("system", [])]
    if last := _LAST_USERS.get(pattern):
        places += [turn["content"] for turn in body["messages"] if turn["role"] == "user"][-last:]
    for blocks in places:
        if blocks and _NAME not in blocks[-1]:
            blocks.append({_NAME: {"type": "default"}})


def bound(body: dict[str, Any], unsupported: Unsupported) -> None:
    """Take away what is more than Bedrock allows; the last marks reach furthest, and stay."""
    left = sum(_NAME in block for blocks in _all(body) for block in blocks) - MOST
    if left <= 0:
        return
    unsupported.adapt(f"{left + MOST} cache marks: the last {MOST} are sent, all that are allowed")
    for blocks in _all(body):
        for block in [block for block in blocks if _NAME in block][:left]:
            blocks.remove(block)
            left -= 1


def _all(body: dict[str, Any]) -> Iterator[list[Block]]:
    """The lists that marks stand in, in the order in which they are read."""
    yield body.get("toolConfig", {}).get("tools", [])
    yield body.get("system", [])
    for turn in body["messages"]:
        yield turn["content"]

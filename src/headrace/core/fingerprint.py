"""What makes two requests the same: one versioned semantic form, hashed twice.

The 128-bit fingerprint finds, the SHA-256 of the same bytes confirms; xxh3 alone can be made to
collide on purpose (xxHash issue 1127), and a collision would hand out somebody else's answer.
Never part of a key: API keys, weights, limits, wire bytes.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, NamedTuple

import orjson
import xxhash

from headrace.core.errors import BadRowError

VERSION: Final = 1


class Key(NamedTuple):
    """A fingerprint to find by and the digest to confirm by."""

    fingerprint: bytes
    digest: bytes

    def bound_to(self, identity: bytes) -> Key:
        """The same request, answered by what ``identity`` names (see ``identity_of``)."""
        return _hash(self.digest + identity)


def identity_of(*parts: str) -> bytes:
    """What answers a request, as bytes: model, endpoint, codec epoch."""
    return "\0".join(parts).encode()


def of_request(
    messages: list[object],
    params: dict[str, object],
    operation: str = "chat",
    *,
    tools: list[list[object]] | None = None,
    schema: list[object] | None = None,
) -> Key:
    """The key of a request: everything that can change its answer, and nothing else."""
    return _hash(canonical(messages, params, operation, tools=tools, schema=schema))


def of_conversation(messages: list[object]) -> str:
    """The public fingerprint of a prompt alone, as hex."""
    return _hash(canonical(messages, {}, "prompt")).fingerprint.hex()


def canonical(
    messages: list[object],
    params: dict[str, object],
    operation: str,
    *,
    tools: list[list[object]] | None = None,
    schema: list[object] | None = None,
) -> bytes:
    """The semantic form as JSON with sorted keys; ``VERSION`` says which form it is."""
    form = {"v": VERSION, "op": operation, "messages": messages, "params": params}
    if tools:
        form["tools"] = tools
    if schema is not None:
        form["schema"] = schema
    try:
        return orjson.dumps(form, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        msg = f"the request cannot be written as JSON: {error}"
        raise BadRowError(msg) from None


def of_row(request: Key, models: tuple[str, ...], sample: int, occurrence: int) -> bytes:
    """A row's identity in a journal (16 bytes): request, set of models, sample and occurrence."""
    place = b"%b\0%b\0%d.%d" % (request.digest, _set_of(models), sample, occurrence)
    return hashlib.sha256(place).digest()[:16]


@lru_cache(maxsize=64)
def _set_of(models: tuple[str, ...]) -> bytes:
    return "\0".join(sorted(models)).encode()


def _hash(data: bytes) -> Key:
    return Key(xxhash.xxh3_128_digest(data), hashlib.sha256(data).digest())

"""What the tests of the caches put and get."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias

from headrace.core.fingerprint import Key
from headrace.core.response import APIResponse

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.adapters.cache import Cache

Answer: TypeAlias = APIResponse[object]


def key(name: str) -> Key:
    digest = hashlib.sha256(name.encode()).digest()
    return Key(digest[:16], digest)


def answer(text: str, **fields: Any) -> Answer:
    return APIResponse(completion=text, **fields)


async def text_of(cache: Cache, name: str) -> str | None:
    found = await cache.get(key(name))
    return None if found is None else found.completion


def is_sound(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])

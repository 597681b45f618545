"""Exact token counts of OpenAI's models: the one door to bpe-openai (extra ``tokens``, MIT).

Its vocabularies lie in the package, and nothing is fetched. Loading one takes more than half a
second and 150 MB, so it is done by who first counts, and never in an event loop's thread: there a
thread of its own loads it, and until it has, nothing is counted exactly.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    Count: TypeAlias = Callable[[str], int | None]

VENDOR: Final = "openai"
# What stands before and after each message and before the answer.
PER_MESSAGE: Final = 4
PER_PROMPT: Final = 3
# As in OpenAI's own tokenizer; models that it does not name are not counted.
_ENCODINGS: Final = (
    ("o200k_base", ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4-mini")),
    ("cl100k_base", ("gpt-4", "gpt-3.5-turbo", "text-embedding-3", "text-embedding-ada-002")),
)
_loaded: dict[str, Count | None] = {}
_loading = threading.Lock()


def counter(vendor: str, model: str) -> Count | None:
    """What counts the tokens of a text; None where nobody can, or cannot yet.

    The count itself is None for a text that the library refuses as too long.
    """
    name = _encoding(model) if vendor == VENDOR else None
    if name is None:
        return None
    if name not in _loaded:
        if _is_in_loop():
            threading.Thread(target=_load, args=(name,), daemon=True).start()
            return None
        _load(name)
    return _loaded[name]


def _encoding(model: str) -> str | None:
    for name, models in _ENCODINGS:
        if any(model == known or model.startswith(f"{known}-") for known in models):
            return name
    return None


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _load(name: str) -> None:
    with _loading:
        if name not in _loaded:
            _loaded[name] = _open(name)


def _open(name: str) -> Count | None:
    with warnings.catch_warnings():  # it reads its data in a way that Python 3.11 calls old
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import bpe_openai  # noqa: PLC0415  an extra, loaded by who uses it
        except ImportError:
            return None
        encoding = bpe_openai.get_encoding(name)

    def count(text: str) -> int | None:
        try:
            return len(encoding.encode(text, disallowed_special=()))
        except (ValueError, bpe_openai.TokenizerError):
            return None

    return count

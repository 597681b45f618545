"""Answers in this process, as long as it lives."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from headrace.adapters.cache.base import Statistics, is_storable
from headrace.core.errors import ConfigError
from headrace.core.response import APIResponse

if TYPE_CHECKING:
    from headrace.core.fingerprint import Key


class MemoryCache:
    """Answers in a dict; serves several event loops and threads.

    With ``max_entries`` the least recently used answer makes room; without, nothing is dropped.
    """

    def __init__(self, max_entries: int | None = None) -> None:
        """Raise ``ConfigError`` for a bound below one."""
        if max_entries is not None and max_entries < 1:
            raise ConfigError(f"max_entries must be 1 or more, or None, not {max_entries}")
        self._bound = max_entries or 0
        self._recent: OrderedDict[bytes, APIResponse[object]] = OrderedDict()
        # Keyed by the digest alone: a dict compares all of it on each hit.
        self._answers: dict[bytes, APIResponse[object]] = {}
        self._lock = threading.Lock()
        self._hits = self._misses = self._stored = 0

    async def get(self, key: Key) -> APIResponse[object] | None:
        """The answer as it was put, without the fields of a row, or None."""
        response = (self._get_bounded if self._bound else self._answers.get)(key.digest)
        if response is None:
            self._misses += 1
        else:
            self._hits += 1
        return response

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        """Remember a whole answer."""
        if not is_storable(response):
            return
        self._stored += 1
        if self._bound:
            self._put_bounded(key.digest, _bare(response))
        else:
            self._answers[key.digest] = _bare(response)

    async def aclose(self) -> None:
        """Nothing to do: the answers stay for the next run."""

    def statistics(self) -> Statistics:
        """Hits, misses and puts so far."""
        return Statistics(self._hits, self._misses, self._stored)

    def _get_bounded(self, digest: bytes) -> APIResponse[object] | None:
        with self._lock:
            response = self._recent.get(digest)
            if response is not None:
                self._recent.move_to_end(digest)
            return response

    def _put_bounded(self, digest: bytes, response: APIResponse[object]) -> None:
        with self._lock:
            self._recent[digest] = response
            self._recent.move_to_end(digest)
            if len(self._recent) > self._bound:
                self._recent.popitem(last=False)


def _bare(response: APIResponse[object]) -> APIResponse[object]:
    # Spelled out, as this is five times faster than dataclasses.replace.
    return APIResponse(
        completion=response.completion,
        thinking=response.thinking,
        tool_calls=response.tool_calls,
        content=response.content,
        # What a schema made of a text is made again from it.
        parsed=response.parsed if response.completion is None else None,
        usage=response.usage,
        cost_nanos=response.cost_nanos,
        finish_reason=response.finish_reason,
        model=response.model,
        provider=response.provider,
        route=response.route,
        request_id=response.request_id,
        metadata=response.metadata,
        logprobs=response.logprobs,
        adaptations=response.adaptations,
        attempts=response.attempts,
        uncertain_attempts=response.uncertain_attempts,
        latency=response.latency,
    )

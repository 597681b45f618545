"""The same vendor behind a real socket: a plan for a ``FakeServer``.

Here time is real, or hurried: ``run_hurried(main(), clock)`` with ``Vendor(terms, clock=clock)``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from headrace.core.context import RequestContext
from headrace.policy import reservation
from headrace.testing.faults import Fault
from headrace.testing.seen import Answer
from headrace.testing.simulation.request import reply_of
from headrace.testing.simulation.vendor import Vendor
from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.testing.plans import Plan
    from headrace.testing.seen import RequestSeen
    from headrace.testing.server import Turn
    from headrace.testing.simulation.vendor import Send

_BOUNDS: Final = ("max_tokens", "max_completion_tokens")


def served(vendor: Vendor) -> Plan:
    """Let ``vendor`` decide on every request of a server; keys are numbered as they appear.

    It has no connections to refuse: where its terms say 0, they are reset.
    """
    keys: dict[str | None, int] = {}

    def plan(seen: RequestSeen) -> Fault:
        return _Exchange(vendor, keys.setdefault(seen.key, len(keys) + 1))

    return plan


@dataclass(frozen=True, slots=True)
class _Exchange(Fault):
    """One request at a vendor, of one of its keys."""

    vendor: Vendor
    key: int

    async def play(self, turn: Turn) -> None:
        """Take as long as the vendor does; write its answer, or its refusal."""
        send, answered = self._receive(turn.seen), False
        try:
            await asyncio.sleep(send.latency)
            answered = True
        finally:
            self.vendor.leave(send, answered=answered)
        if not send.status:
            turn.reset()
            return
        turn.respond(self._answer(turn, send))
        turn.answered = send.status == failure.OK

    def _receive(self, seen: RequestSeen) -> Send:
        asked, body = RequestContext(prompt=seen.prompt).asked, seen.json
        size = reservation.input_tokens(asked, None)
        declared = next((n for name in _BOUNDS if isinstance(n := body.get(name), int)), None)
        return self.vendor.receive(seen.prompt, size, declared, self.key, seen.model)

    def _answer(self, turn: Turn, send: Send) -> Answer:
        reply = reply_of(self.vendor, send)
        headers = tuple(reply.headers.items())
        if reply.status != failure.OK:
            return Answer(reply.status, reply.body, headers)
        honest = turn.answer
        return replace(honest, body=_billed(honest.body, send), headers=(*honest.headers, *headers))


def _billed(body: bytes, send: Send) -> bytes:
    """An answer whose usage is what the vendor counted, in the words of OpenAI or Anthropic."""
    data = orjson.loads(body)
    counts = {
        "prompt_tokens": send.input,
        "input_tokens": send.input,
        "completion_tokens": send.output,
        "output_tokens": send.output,
        "total_tokens": send.input + send.output,
    }
    usage = data.get("usage", {})
    data["usage"] = usage | {name: counts[name] for name in usage if name in counts}
    return orjson.dumps(data)

"""The seam to a simulated vendor: one exchange with it, its replies read as real ones are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import orjson

from headrace.core.errors import NotSentError
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.providers.base import ProviderRequest
from headrace.testing.simulation.headers import hint_body, hint_headers, limit_headers
from headrace.wire import failure

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.testing.simulation.vendor import Send, Vendor


class SimulatedRequest(ProviderRequest):
    """One exchange with a simulated vendor; never uses its ``exchange``."""

    __slots__ = ()
    vendor: ClassVar[Vendor]

    async def execute_once(self) -> APIResponse[object]:
        """Wait as long as the vendor takes; return its answer or raise its refusal."""
        if way := self.vendor.way(self.context):
            await asyncio.sleep(way)
        send, answered = self.vendor.arrive(self.context, self.route), False
        try:
            await asyncio.sleep(send.latency)
            answered = True
        finally:
            self.vendor.leave(send, answered=answered)
        if not send.status:
            msg = "a simulated vendor refused the connection"
            raise NotSentError(msg)
        return self.decode(self.context, self.route, reply_of(self.vendor, send))

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        """Read a reply; raises the error that it is otherwise."""
        failure.check(reply)
        data = orjson.loads(reply.body)
        del context
        return APIResponse(
            completion=data["said"],
            usage=Usage(data["input"], data["output"]),
            finish_reason="stop",
            model=route.model.name,
            reply=reply,
        )


def simulated(vendor: Vendor) -> type[SimulatedRequest]:
    """A provider class whose requests are answered by ``vendor``."""
    the_vendor = vendor

    class Asked(SimulatedRequest):
        __slots__ = ()
        vendor = the_vendor

    return Asked


def reply_of(vendor: Vendor, send: Send) -> Reply:
    """What comes back for a send that has ended."""
    terms = vendor.terms(send.at)
    headers: dict[str, str] = {}
    if terms.headers is not None:
        account = "org-simulated" if terms.shared else f"org-simulated-{send.key}"
        headers = limit_headers(terms.headers, send.levels, vendor.clock.wall(), account)
    body: dict[str, object] = {}
    if send.wait and terms.hints == "body":
        body = hint_body(send.wait)
    elif send.wait and terms.hints:
        headers |= hint_headers(send.wait, whole=terms.hints == "seconds")
    if send.status == failure.OK:
        said = f"echo: {send.prompt[:32]}"
        body = {"said": said, "input": send.input, "output": send.output}
    else:
        body = {"error": {"message": f"refused with {send.status} by a simulated vendor", **body}}
    return Reply(send.status, orjson.dumps(body), headers)

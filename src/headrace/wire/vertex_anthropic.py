"""Claude on Vertex: Anthropic's Messages with the model in the path and the version in the body.

Everything else is ``wire.anthropic``'s: what it writes is moved to where Vertex wants it, and
replies are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from headrace.wire import anthropic, reading
from headrace.wire.anthropic import decode
from headrace.wire.draft import Draft

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.model import Route

__all__ = ["EPOCH", "decode", "encode"]
EPOCH: Final = anthropic.EPOCH
_VERSION: Final = "anthropic-version"
# The one that takes sampling parameters has a name of its own here.
_VERSIONS: Final = {"2023-06-01": "vertex-2023-10-16"}


def path(route: Route, *, stream: bool = False) -> str:
    """Where to post; ids hold an ``@`` before their date, which stays as it is."""
    asked = "streamRawPredict" if stream else "rawPredict"
    return f"/models/{quote(route.model.name, safe='/@')}:{asked}"


def encode(context: RequestContext, route: Route, *, stream: bool = False) -> Draft:
    """The request; see ``wire.anthropic``. Raises ``RejectedError`` as that does."""
    draft = anthropic.encode(context, route, stream=stream)
    headers = {name.lower(): value for name, value in draft.headers}
    version = headers.pop(_VERSION)
    asked = reading.block(reading.load(draft.body))
    asked.pop("model", None)
    body = {"anthropic_version": _VERSIONS.get(version, version), **asked}
    sent = tuple(headers.items())
    return Draft(path(route, stream=stream), reading.write(body), sent, draft.adaptations)

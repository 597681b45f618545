"""The face: the verbs that people call."""

from __future__ import annotations

from headrace.client.embedding import Embedding
from headrace.client.judging import Judging
from headrace.client.listing import Listing
from headrace.client.routes import Routes
from headrace.client.single import Single
from headrace.client.speech import Speech
from headrace.client.tool_loop import ToolLoop

__all__ = ["LLMClient"]


class LLMClient(Embedding, Judging, Speech, Listing, Routes, Single, ToolLoop):
    """Pushes prompts through language-model APIs, as fast as the limits allow.

    ``models`` is ``"endpoint/model"``, a ``Model`` row, or a list of these; several models are
    interchangeable, or drawn by ``model_weights``; with ``spill=True`` a request leaves a drawn
    model that has no room for one that has. ``base_url`` and ``api_key`` (one, or a list) are for
    servers without a row: ``LLMClient("openai/NAME", base_url="http://127.0.0.1:8080/v1")``.

    Limits are totals over the client: ``max_requests_per_minute``, ``max_tokens_per_minute`` (held
    in any 60 seconds) and ``max_concurrent_requests`` (None: found out, beginning with 16).
    ``shared_limits`` (a file, a Redis URL, or a ``SharedLimits``) makes the rates totals over all
    processes that name the same. ``remember_limits``: what is found out of limits is kept in the
    user's state directory, and is where the next run begins (None: for servers on other machines).
    ``request_timeout`` bounds one attempt and ``deadline`` a request's whole life, in seconds;
    ``patience`` is how long a route that once worked may give nothing, and ``breaker``
    (``BreakerSettings``) when one that fails is left alone for a while. With ``hedge``
    (``True``, a share such as 0.02, or ``HedgeSettings``) slow requests are sent a second time, for
    at most 5 % of the spend, or that share of it. ``cache`` is ``"memory"``, a path (SQLite) or a
    ``Cache``; with one, identical requests share an answer, as they do with ``coalesce=True``.
    ``seed`` fixes the draw of weighted models. Raises ``ConfigError`` with one sentence for every
    setting that cannot work.
    """

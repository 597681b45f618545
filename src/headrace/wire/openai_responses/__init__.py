"""OpenAI Responses, as OpenAI and servers like llama.cpp speak it: bytes out, answer in.

A conversation is sent as input items, each message in its place. Nothing is stored at the provider
(``store`` is false, as it is at Chat Completions; ``extra_body`` can say otherwise): a run keeps
its answers itself, and what a model has to have back (encrypted reasoning, calls of hosted tools,
the phase of a message) is kept in the answer's ``content`` and sent again word for word. There is
no finish reason: it is read from the status, and from what the output holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire.openai_responses.decode import decode
from headrace.wire.openai_responses.encode import PATH, encode
from headrace.wire.openai_responses.stream import fold

if TYPE_CHECKING:
    from headrace.wire.framing import Framing

__all__ = ["EPOCH", "FRAMING", "PATH", "decode", "encode", "fold"]

EPOCH: Final = 1
FRAMING: Framing = "sse"

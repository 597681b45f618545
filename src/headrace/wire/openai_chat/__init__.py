"""OpenAI Chat Completions, as OpenAI and every compatible server speak it: bytes out, answer in.

The dialect carries each conversation as it stands; ``docs/messages.md`` has the rule. Where servers
differ in what they take, the endpoint's row says so (``registry/endpoints.toml``), and no code is
for one vendor. Replies are read tolerantly where servers differ (reasoning under two names, content
as a list of parts, tool arguments as objects), but nothing is an answer that has no text, thinking,
media or tool call in it and does not say that it was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.wire.openai_chat.decode import decode
from headrace.wire.openai_chat.encode import PATH, encode
from headrace.wire.openai_chat.stream import fold

if TYPE_CHECKING:
    from headrace.wire.framing import Framing

__all__ = ["EPOCH", "FRAMING", "PATH", "decode", "encode", "fold"]

EPOCH: Final = 1
FRAMING: Framing = "sse"

"""Which conversations a server may remember, so that the same route is to have the next turn.

Providers keep what they have read of a prompt, and read it at a part of the price when the next one
begins alike; what one key or region keeps, another has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.conversation import Conversation
from headrace.core.parts import CacheBreakpoint

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.conversation import Message
    from headrace.engine.order import Order

# Characters: about the 1,024 tokens below which nobody keeps anything.
WORTH_IT: Final = 4_096


def favouring(order: Order, context: RequestContext) -> Order:
    """``order``, with the routes favoured that may remember how the conversation began."""
    prompt = context.prompt
    if len(order.lanes) == 1 or type(prompt) is not Conversation:
        return order
    opening = _opening(prompt)
    return order if opening is None else order.favouring(opening.fingerprint)


def _opening(prompt: Conversation) -> Conversation | None:
    """What all turns of a conversation begin with; None where nobody would keep it.

    Up to the first mark for the cache, else to the end of the first turn of the user.
    """
    messages, size, end = prompt.messages, 0, 0
    for number, message in enumerate(messages, start=1):
        if _is_marked(message):
            return Conversation(messages[: end or number])
        end = end or (number if message.role == "user" else 0)
        size += len(message.text)
    return Conversation(messages[: end or 1]) if size >= WORTH_IT else None


def _is_marked(message: Message) -> bool:
    content = message.content
    return type(content) is not str and any(type(part) is CacheBreakpoint for part in content)

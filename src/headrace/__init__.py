"""headrace: prompts through language-model APIs, in bulk, as fast as the limits allow.

The names below are the public ones. Each is loaded when it is first used, so that importing the
package, and ``headrace --help``, cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.client import LLMClient
    from headrace.core import errors, events
    from headrace.core.context import RequestContext
    from headrace.core.conversation import Conversation, Image, Message, Text, ToolCall
    from headrace.core.errors import ConfigError, HeadraceError, NoRouteError, ProviderError
    from headrace.core.estimate import Estimate, TokenCount
    from headrace.core.model import Model, Price
    from headrace.core.params import SamplingParams
    from headrace.core.response import APIResponse, Responses, Usage

__version__ = "0.1.0"

__all__ = [
    "APIResponse",
    "ConfigError",
    "Conversation",
    "Estimate",
    "HeadraceError",
    "Image",
    "LLMClient",
    "Message",
    "Model",
    "NoRouteError",
    "Price",
    "ProviderError",
    "RequestContext",
    "Responses",
    "SamplingParams",
    "Text",
    "TokenCount",
    "ToolCall",
    "Usage",
    "__version__",
    "errors",
    "events",
]

_MODULES = ("errors", "events")
_HOMES = {
    "headrace.client": ("LLMClient",),
    "headrace.core.context": ("RequestContext",),
    "headrace.core.conversation": ("Conversation", "Image", "Message", "Text", "ToolCall"),
    "headrace.core.errors": ("ConfigError", "HeadraceError", "NoRouteError", "ProviderError"),
    "headrace.core.estimate": ("Estimate", "TokenCount"),
    "headrace.core.model": ("Model", "Price"),
    "headrace.core.params": ("SamplingParams",),
    "headrace.core.response": ("APIResponse", "Responses", "Usage"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name in _MODULES:
        return import_module(f"{__name__}.core.{name}")
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted(__all__)

"""headrace: prompts through language-model APIs, in bulk, as fast as the limits allow.

The names below are the public ones. Each is loaded when it is first used, so that importing the
package, and ``headrace --help``, cost next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.adapters.registered import (
        list_aliases,
        list_endpoints,
        list_models,
        load_rows,
        register_alias,
        register_endpoint,
        register_model,
        unregister_alias,
        unregister_endpoint,
        unregister_model,
    )
    from headrace.adapters.shared.base import SharedLimits
    from headrace.adapters.shared.redis import RedisLimits
    from headrace.adapters.shared.sqlite import SqliteLimits
    from headrace.client import LLMClient
    from headrace.core import chunks, errors, events
    from headrace.core.breaking import BreakerSettings
    from headrace.core.context import RequestContext
    from headrace.core.conversation import Conversation, Message
    from headrace.core.errors import ConfigError, HeadraceError, NoRouteError, ProviderError
    from headrace.core.estimate import Estimate, TokenCount
    from headrace.core.hedging import HedgeSettings
    from headrace.core.listing import ListedModel, StoredFile
    from headrace.core.media import Audio, File, Image
    from headrace.core.model import Endpoint, Model, Price
    from headrace.core.operations import (
        Embed,
        Moderate,
        Moderation,
        Ranked,
        Rerank,
        Speak,
        Transcribe,
    )
    from headrace.core.params import SamplingParams
    from headrace.core.parts import CacheBreakpoint, Opaque, Text, Thinking, ToolCall, ToolResult
    from headrace.core.response import APIResponse, Responses, Usage
    from headrace.core.schema import OutputSchema
    from headrace.core.status import Binding, RouteStatus, Statistics
    from headrace.core.tool_run import ToolRun
    from headrace.core.tools import Tool, VendorTool
    from headrace.providers.base import ProviderRequest
    from headrace.providers.catalog import (
        list_providers,
        register_provider,
        unregister_provider,
    )

__version__ = "0.1.0"

__all__ = [
    "APIResponse",
    "Audio",
    "Binding",
    "BreakerSettings",
    "CacheBreakpoint",
    "ConfigError",
    "Conversation",
    "Embed",
    "Endpoint",
    "Estimate",
    "File",
    "HeadraceError",
    "HedgeSettings",
    "Image",
    "LLMClient",
    "ListedModel",
    "Message",
    "Model",
    "Moderate",
    "Moderation",
    "NoRouteError",
    "Opaque",
    "OutputSchema",
    "Price",
    "ProviderError",
    "ProviderRequest",
    "Ranked",
    "RedisLimits",
    "RequestContext",
    "Rerank",
    "Responses",
    "RouteStatus",
    "SamplingParams",
    "SharedLimits",
    "Speak",
    "SqliteLimits",
    "Statistics",
    "StoredFile",
    "Text",
    "Thinking",
    "TokenCount",
    "Tool",
    "ToolCall",
    "ToolResult",
    "ToolRun",
    "Transcribe",
    "Usage",
    "VendorTool",
    "__version__",
    "chunks",
    "errors",
    "events",
    "list_aliases",
    "list_endpoints",
    "list_models",
    "list_providers",
    "load_rows",
    "register_alias",
    "register_endpoint",
    "register_model",
    "register_provider",
    "unregister_alias",
    "unregister_endpoint",
    "unregister_model",
    "unregister_provider",
]

_MODULES = ("chunks", "errors", "events")
_HOMES = {
    "headrace.adapters.registered": (
        "list_aliases",
        "list_endpoints",
        "list_models",
        "load_rows",
        "register_alias",
        "register_endpoint",
        "register_model",
        "unregister_alias",
        "unregister_endpoint",
        "unregister_model",
    ),
    "headrace.adapters.shared.base": ("SharedLimits",),
    "headrace.adapters.shared.redis": ("RedisLimits",),
    "headrace.adapters.shared.sqlite": ("SqliteLimits",),
    "headrace.client": ("LLMClient",),
    "headrace.core.context": ("RequestContext",),
    "headrace.core.conversation": ("Conversation", "Message"),
    "headrace.core.errors": ("ConfigError", "HeadraceError", "NoRouteError", "ProviderError"),
    "headrace.core.estimate": ("Estimate", "TokenCount"),
    "headrace.core.hedging": ("HedgeSettings",),
    "headrace.core.listing": ("ListedModel", "StoredFile"),
    "headrace.core.media": ("Audio", "File", "Image"),
    "headrace.core.model": ("Endpoint", "Model", "Price"),
    "headrace.core.operations": (
        "Embed",
        "Moderate",
        "Moderation",
        "Ranked",
        "Rerank",
        "Speak",
        "Transcribe",
    ),
    "headrace.core.params": ("SamplingParams",),
    "headrace.core.parts": (
        "CacheBreakpoint",
        "Opaque",
        "Text",
        "Thinking",
        "ToolCall",
        "ToolResult",
    ),
    "headrace.core.response": ("APIResponse", "Responses", "Usage"),
    "headrace.core.schema": ("OutputSchema",),
    "headrace.core.status": ("Binding", "RouteStatus", "Statistics"),
    "headrace.core.tool_run": ("ToolRun",),
    "headrace.core.tools": ("Tool", "VendorTool"),
    "headrace.core.breaking": ("BreakerSettings",),
    "headrace.providers.base": ("ProviderRequest",),
    "headrace.providers.catalog": ("list_providers", "register_provider", "unregister_provider"),
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

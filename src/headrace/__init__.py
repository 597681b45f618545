"""headrace: prompts through language-model APIs, in bulk, as fast as the limits allow."""

from headrace.client import LLMClient
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Image, Message, Text, ToolCall
from headrace.core.errors import ConfigError, HeadraceError, NoRouteError, ProviderError
from headrace.core.model import Model, Price
from headrace.core.params import SamplingParams
from headrace.core.response import APIResponse, Responses, Usage

__version__ = "0.1.0"

__all__ = [
    "APIResponse",
    "ConfigError",
    "Conversation",
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
    "ToolCall",
    "Usage",
    "__version__",
]

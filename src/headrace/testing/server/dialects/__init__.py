"""The APIs that the fake server speaks: which path is whose."""

from __future__ import annotations

from typing import Final

from headrace.testing.server.dialects.anthropic import Anthropic, AnthropicOnVertex
from headrace.testing.server.dialects.base import Asked, Dialect, Said, say
from headrace.testing.server.dialects.bedrock import Bedrock, BedrockAnthropic
from headrace.testing.server.dialects.cohere import Cohere
from headrace.testing.server.dialects.embeddings import EMBEDDINGS
from headrace.testing.server.dialects.forms import Formed
from headrace.testing.server.dialects.google import Gemini
from headrace.testing.server.dialects.ollama import Ollama
from headrace.testing.server.dialects.openai import OpenAI, Responses, go_duration
from headrace.testing.server.dialects.openai_operations import (
    RANKINGS,
    Moderations,
    Speech,
    Transcriptions,
)

__all__ = [
    "Anthropic",
    "Asked",
    "Bedrock",
    "BedrockAnthropic",
    "Cohere",
    "Dialect",
    "Gemini",
    "Ollama",
    "OpenAI",
    "Responses",
    "Said",
    "go_duration",
    "nobody",
    "of_path",
    "say",
]
_OPENAI: Final = OpenAI()
_GEMINI: Final = Gemini()
_BEDROCK: Final = Bedrock()
_COHERE: Final = Cohere()
_OLLAMA: Final = Ollama()
_INVOKED: Final = Formed(
    BedrockAnthropic(),
    EMBEDDINGS["titan"],
    EMBEDDINGS["titan image"],
    EMBEDDINGS["cohere on bedrock"],
    EMBEDDINGS["cohere images on bedrock"],
    RANKINGS["bedrock"],
    chats=True,
)
# What ends like another stands before it.
_ENDS: Final[tuple[tuple[str, Dialect], ...]] = (
    ("/chat/completions", _OPENAI),
    ("/v1/messages", Anthropic()),
    (":rawPredict", AnthropicOnVertex()),
    ("/responses", Responses()),
    (":generateContent", _GEMINI),
    (":streamGenerateContent", _GEMINI),
    ("/embeddings", Formed(_OPENAI, EMBEDDINGS["openai"])),
    (":batchEmbedContents", Formed(_GEMINI, EMBEDDINGS["gemini"])),
    ("/v2/embed", Formed(_COHERE, EMBEDDINGS["cohere"], EMBEDDINGS["cohere images"])),
    ("/api/embed", Formed(_OLLAMA, EMBEDDINGS["ollama"])),
    ("/v2/rerank", Formed(_COHERE, RANKINGS["cohere"])),
    ("/rerank", Formed(_OPENAI, RANKINGS["openai"])),
    ("/moderations", Moderations()),
    ("/audio/transcriptions", Transcriptions()),
    ("/audio/speech", Speech()),
    ("/converse", _BEDROCK),
    ("/converse-stream", _BEDROCK),
    (":predict", Formed(_GEMINI, EMBEDDINGS["vertex predict"])),
    (":embedContent", Formed(_GEMINI, EMBEDDINGS["gemini content"])),
    ("/invoke", _INVOKED),
    ("/invoke-with-response-stream", _INVOKED),
    ("/v2/chat", _COHERE),
    ("/api/chat", _OLLAMA),
)


def of_path(path: str) -> Dialect | None:
    """Whose endpoint a path is; None where it is nobody's."""
    return next((dialect for end, dialect in _ENDS if path.endswith(end)), None)


def nobody() -> Dialect:
    """Whose errors stand where a path is nobody's."""
    return _OPENAI

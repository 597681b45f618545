"""What Vertex and Bedrock do beside chat: vectors and rankings, of words as at OpenAI."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from headrace.testing.server.dialects.base import Asked, Said
from headrace.testing.server.dialects.bedrock import BedrockAnthropic, model_of
from headrace.testing.server.dialects.google import Gemini
from headrace.testing.server.dialects.openai_operations import Rerank, vector_of

MOST_INSTANCES: Final = 250
MOST_TEXTS: Final = 96
_MODEL: Final = re.compile(r"/models/([^:/]+):")
_RERANK: Final = Rerank()


class VertexPredict(Gemini):
    """``:predict`` of a model for text: at most 250 instances."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        instances = orjson.loads(body).get("instances")
        if not isinstance(instances, list) or not 1 <= len(instances) <= MOST_INSTANCES:
            msg = f"{MOST_INSTANCES} instance(s) is allowed per prediction"
            raise ValueError(msg)
        return _asked(_MODEL.findall(target)[-1], [each["content"] for each in instances])

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """One prediction for each instance."""
        del said, n
        made = [
            {"values": vector_of(text), "statistics": {"token_count": len(text.split())}}
            for text in asked.inputs
        ]
        return {"predictions": [{"embeddings": each} for each in made]}


class EmbedContent(Gemini):
    """``:embedContent`` of one text."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        content = orjson.loads(body).get("content")
        if not isinstance(content, dict):
            msg = "content: it is required"
            raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
        text = "".join(part["text"] for part in content["parts"])
        return _asked(_MODEL.findall(target)[-1], [text])

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """Its vector."""
        del said, n
        used = {"promptTokenCount": asked.input_tokens}
        return {"embedding": {"values": vector_of(asked.inputs[0])}, "usageMetadata": used}


class Invoke(BedrockAnthropic):
    """InvokeModel: of Claude, and of models for vectors and rankings, told by their bodies."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        data, model = orjson.loads(body), model_of(target)
        if "anthropic_version" in data:
            return super().read(body, target)
        for name in ("inputText", "inputImage"):
            if name in data:
                return _asked(model, [data[name]], "titan")
        for name in ("texts", "images"):
            if name in data and len(data[name]) <= MOST_TEXTS:
                return _asked(model, data[name], "cohere")
        if "query" in data:
            _check_version(data, model)
            read = _RERANK.read(orjson.dumps({**data, "model": model}), target)
            return read._replace(form="rerank")
        return super().read(body, target)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """What a model of this form answers."""
        vectors = [vector_of(text) for text in asked.inputs]
        match asked.form:
            case "titan":
                return {"embedding": vectors[0], "inputTextTokenCount": asked.input_tokens}
            case "cohere":
                return {"id": str(n), "embeddings": {"float": vectors}}
            case "rerank":
                return {"results": _RERANK.answer(asked, said, n)["results"]}
        return super().answer(asked, said, n)


def _check_version(data: dict[str, Any], model: str) -> None:
    """Cohere's rankers want to be told the version of their API, and Amazon's refuse it."""
    if ("cohere." in model) is not ("api_version" in data):
        wrong = "required key [api_version] not found"
        if "api_version" in data:
            wrong = "extraneous key [api_version] is not permitted"
        msg = f"Malformed input request: {wrong}, please reformat your input and try again."
        raise ValueError(msg)


def _asked(model: str, inputs: list[str], form: str = "") -> Asked:
    words = sum(len(text.split()) for text in inputs)
    return Asked(model, "\n".join(inputs), words, None, inputs=tuple(inputs), form=form)

"""Vectors, in the form of each vendor. What they are follows from the text alone."""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import shake_128
from typing import Any, Final
from urllib.parse import unquote
from zlib import crc32

from headrace.testing.server.dialects.base import Asked
from headrace.testing.server.dialects.bedrock import model_of
from headrace.testing.server.dialects.forms import Form, asked_of, named

WIDTH: Final = 4
"""How many numbers a vector has where nobody says."""
WIDEST: Final = 4096
_GEMINI_PATH: Final = re.compile(r"/models/([^/:?]+):")


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """The vector that the server has for a text: numbers that single precision holds, four of them.

    ``dimensions`` is another count; of each text a longer one begins with the shorter one.
    """
    mark = crc32(text.encode())
    begins = [float(len(text)), *(float(mark >> shift & 0xFF) for shift in (0, 8, 16))]
    size = WIDTH if dimensions is None else dimensions
    more = shake_128(text.encode()).digest(max(0, size - WIDTH))
    return [*begins, *map(float, more)][:size]


@dataclass(frozen=True, slots=True)
class _Embeddings:
    """Where a vendor's request has the texts and how long vectors shall be, and how it answers.

    ``number`` writes one vector; ``most`` texts go in one request, which has all that it ``needs``.
    """

    field: str
    write: Callable[[Asked, list[object], int], dict[str, object]]
    texts: Callable[[Any], object] = lambda given: given
    sizes: Callable[[dict[str, Any]], object] = lambda data: data.get("dimensions")
    model: Callable[[dict[str, Any], str], str] = named
    number: Callable[[dict[str, Any], list[float]], object] = lambda _, vector: vector
    most: int = 2048
    needs: tuple[str, ...] = ()

    def read(self, data: dict[str, Any], target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        texts, size = self._texts_of(data), self.sizes(data)
        if size is not None and not (type(size) is int and 1 <= size <= WIDEST):
            msg = f"the dimensions must be a whole number from 1 to {WIDEST}"
            raise ValueError(msg)
        for name in self.needs:
            if not isinstance(data.get(name), str):
                msg = f"{name}: it is required"
                raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
        vectors = [self.number(data, vector_of(text, size)) for text in texts]

        def answer(asked: Asked, n: int) -> dict[str, object]:
            return self.write(asked, vectors, n)

        return asked_of(self.model(data, target), texts, answer)

    def _texts_of(self, data: dict[str, Any]) -> list[str]:
        given = self.texts(data[self.field])
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not 1 <= len(texts) <= self.most:
            msg = f"{self.field}: 1 to {self.most} texts are required"
            raise ValueError(msg)
        if not all(isinstance(text, str) and text for text in texts):
            msg = f"{self.field}: a text cannot be empty"
            raise ValueError(msg)
        return texts


def _openai(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    rows = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens}
    return {"object": "list", "data": rows, "model": asked.model, "usage": usage}


def _openai_number(data: dict[str, Any], vector: list[float]) -> object:
    if data.get("encoding_format") != "base64":
        return vector
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _gemini(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    usage = {"promptTokenCount": asked.input_tokens}
    return {"embeddings": [{"values": vector} for vector in vectors], "usageMetadata": usage}


def _gemini_texts(requests: object) -> object:
    try:
        parts = [each["content"]["parts"] for each in requests]  # type: ignore[attr-defined]  # what is no list is found out here
        return ["".join(map(_said, several)) for several in parts]
    except (KeyError, TypeError):
        return None


def _said(part: dict[str, Any]) -> str:
    """A text, or the bytes of an image in base64."""
    said: str = part["text"] if "text" in part else part["inlineData"]["data"]
    return said


def _gemini_size(data: dict[str, Any]) -> object:
    sizes = [each.get("outputDimensionality", _content_size(each)) for each in data["requests"]]
    first, *others = sizes
    return first if all(size == first for size in others) else "several"


def _gemini_model(data: dict[str, Any], target: str) -> str:
    del data
    return unquote(_GEMINI_PATH.findall(target)[-1])


def _content_size(data: dict[str, Any]) -> object:
    """Vertex has it among the options; at the top it has none."""
    return (data.get("embedContentConfig") or {}).get("outputDimensionality")


def _content_texts(content: object) -> object:
    return _gemini_texts([{"content": content}])


def _content(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    used = {"promptTokenCount": asked.input_tokens}
    return {"embedding": {"values": vectors[0]}, "usageMetadata": used}


def _vertex(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    made = [
        {"values": vector, "statistics": {"token_count": len(text.split())}}
        for text, vector in zip(asked.inputs, vectors, strict=True)
    ]
    return {"predictions": [{"embeddings": each} for each in made]}


def _vertex_texts(instances: object) -> object:
    try:
        return [each["content"] for each in instances]  # type: ignore[attr-defined]  # what is no list is found out here
    except (KeyError, TypeError):
        return None


def _vertex_size(data: dict[str, Any]) -> object:
    return (data.get("parameters") or {}).get("outputDimensionality")


def _multimodal(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del asked, n
    [vector] = vectors
    return {"predictions": [vector]}


def _multimodal_number(data: dict[str, Any], vector: list[float]) -> object:
    [instance] = data["instances"]
    return {"textEmbedding" if "text" in instance else "imageEmbedding": vector}


def _multimodal_texts(instances: object) -> object:
    try:
        return [_told(each) for each in instances]  # type: ignore[attr-defined]  # what is no list is found out here
    except (KeyError, TypeError):
        return None


def _told(instance: dict[str, Any]) -> object:
    """A text, or the bytes of an image in base64."""
    return instance["text"] if "text" in instance else instance["image"]["bytesBase64Encoded"]


def _multimodal_size(data: dict[str, Any]) -> object:
    return (data.get("parameters") or {}).get("dimension")


def _predict(data: dict[str, Any], target: str) -> Asked:
    """At Vertex the model says what the instances are."""
    is_multimodal = "multimodal" in _gemini_model(data, target)
    return _TABLE["vertex multimodal" if is_multimodal else "vertex"].read(data, target)


def _cohere(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    billed = {"billed_units": {"input_tokens": asked.input_tokens}}
    return {**_cohere_on_bedrock(asked, vectors, n), "meta": billed}


def _cohere_on_bedrock(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    return {
        "id": f"{n:032x}",
        "texts": list(asked.inputs),
        "embeddings": {"float": vectors},
        "response_type": "embeddings_by_type",
    }


def _ollama(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    return {
        "model": asked.model,
        "embeddings": vectors,
        "total_duration": 3_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": asked.input_tokens,
    }


def _titan(asked: Asked, vectors: list[object], n: int) -> dict[str, object]:
    del n
    [vector] = vectors
    return {
        "embedding": vector,
        "embeddingsByType": {"float": vector},
        "inputTextTokenCount": asked.input_tokens,
    }


def _titan_size(data: dict[str, Any]) -> object:
    """The models for images have it in a place of its own."""
    image = (data.get("embeddingConfig") or {}).get("outputEmbeddingLength")
    return data.get("dimensions") if image is None else image


def _in_path(data: dict[str, Any], target: str) -> str:
    del data
    return model_of(target)


def _cohere_size(data: dict[str, Any]) -> object:
    return data.get("output_dimension")


def _openai_size(data: dict[str, Any]) -> object:
    """Mistral calls it as Cohere does."""
    return data.get("dimensions", data.get("output_dimension"))


_TABLE: Final = {
    "openai": _Embeddings("input", _openai, sizes=_openai_size, number=_openai_number),
    "gemini": _Embeddings(
        "requests", _gemini, _gemini_texts, _gemini_size, _gemini_model, most=100
    ),
    "cohere": _Embeddings("texts", _cohere, sizes=_cohere_size, most=96, needs=("input_type",)),
    "gemini content": _Embeddings(
        "content",
        _content,
        _content_texts,
        _content_size,
        _gemini_model,
    ),
    "vertex": _Embeddings(
        "instances", _vertex, _vertex_texts, _vertex_size, _gemini_model, most=250
    ),
    "vertex multimodal": _Embeddings(
        "instances",
        _multimodal,
        _multimodal_texts,
        _multimodal_size,
        _gemini_model,
        _multimodal_number,
        most=1,
    ),
    "ollama": _Embeddings("input", _ollama),
    "titan image": _Embeddings("inputImage", _titan, sizes=_titan_size, model=_in_path, most=1),
    "titan": _Embeddings("inputText", _titan, sizes=_titan_size, model=_in_path, most=1),
    "cohere images": _Embeddings("images", _cohere, sizes=_cohere_size, needs=("input_type",)),
    "cohere images on bedrock": _Embeddings(
        "images", _cohere_on_bedrock, sizes=_cohere_size, model=_in_path, needs=("input_type",)
    ),
    "cohere on bedrock": _Embeddings(
        "texts",
        _cohere_on_bedrock,
        sizes=_cohere_size,
        model=_in_path,
        most=96,
        needs=("input_type",),
    ),
}
EMBEDDINGS: Final = {
    **{name: Form(row.field, row.read) for name, row in _TABLE.items()},
    "vertex predict": Form("instances", _predict),
}
"""By the name of the form."""

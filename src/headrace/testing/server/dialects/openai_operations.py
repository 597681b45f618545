"""What OpenAI and compatible servers do beside chat: embeddings, rankings, judgements, speech.

What they answer follows from the words, so that a test can say what it has to be.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import orjson

from headrace.testing.server.dialects.base import Asked
from headrace.testing.server.dialects.openai import OpenAI

if TYPE_CHECKING:
    from headrace.testing.server.dialects.base import Said

MOST_INPUTS: Final = 2048
WIDTH: Final = 4
BAD: Final = "bad"
"""The word for which a text is flagged."""


class Embeddings(OpenAI):
    """``/embeddings``: at most 2,048 texts, none of them empty."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del target
        data = _object(body)
        inputs = [data["input"]] if isinstance(data.get("input"), str) else data.get("input")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= MOST_INPUTS:
            msg = f"input: 1 to {MOST_INPUTS} texts are required"
            raise ValueError(msg)
        if not all(isinstance(text, str) and text for text in inputs):
            msg = "input: a text cannot be empty"
            raise ValueError(msg)
        return _asked(data, inputs)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """A list with one ``embedding`` object for each text."""
        del said, n
        packs = asked.form == "base64"
        rows = [
            {"object": "embedding", "index": i, "embedding": _written(vector_of(text), packs=packs)}
            for i, text in enumerate(asked.inputs)
        ]
        return {"object": "list", "data": rows, "model": asked.model, "usage": _used(asked)}


class Rerank(OpenAI):
    """``/rerank``: a document's score is its share of the query's words."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del target
        data = _object(body)
        query, documents = data.get("query"), data.get("documents")
        if not isinstance(query, str) or not isinstance(documents, list):
            msg = "query and documents are required"
            raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
        return _asked(data, [query, *documents])._replace(max_tokens=data.get("top_n"))

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """The documents by score."""
        del said
        query, *documents = asked.inputs
        words = set(query.split())
        scores = [len(words & set(text.split())) / len(words) for text in documents]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[: asked.max_tokens]
        rows = [{"index": i, "relevance_score": scores[i]} for i in order]
        return {"id": f"rank-{n}", "model": asked.model, "results": rows, "usage": _used(asked)}


class Moderations(OpenAI):
    """``/moderations``: a text with the word "bad" is flagged."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del target
        data = _object(body)
        inputs = data.get("input")
        return _asked(data, [inputs] if isinstance(inputs, str) else list(inputs or ()))

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """One result for each text."""
        del said
        bad = [BAD in text.split() for text in asked.inputs]
        rows = [
            {
                "flagged": each,
                "categories": {"violence": each},
                "category_scores": {"violence": float(each)},
            }
            for each in bad
        ]
        return {"id": f"modr-{n}", "model": asked.model, "results": rows}


class Transcriptions(OpenAI):
    """``/audio/transcriptions``: a form with a file; what is said in it is its bytes as text."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a form; raises ``ValueError`` with what is wrong."""
        del target
        fields = form_of(body)
        if "file" not in fields or "model" not in fields:
            msg = "file and model are required"
            raise ValueError(msg)
        text = fields["file"].decode("utf-8", "replace")
        return Asked(fields["model"].decode(), text, len(text.split()), None, inputs=(text,))

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """An object with the text."""
        del said, n
        usage = {"type": "tokens", "input_tokens": asked.input_tokens, "output_tokens": 1}
        return {"text": asked.prompt, "usage": usage | {"total_tokens": asked.input_tokens + 1}}


class Speech(OpenAI):
    """``/audio/speech``: raw bytes, a header and the text."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del target
        data = _object(body)
        if not isinstance(data.get("voice"), str):
            msg = "voice: a name is required"
            raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
        return _asked(data, [data["input"]])

    def sound(self, asked: Asked) -> bytes:
        """What is heard."""
        return b"ID3" + asked.prompt.encode()


def vector_of(text: str) -> list[float]:
    """The vector that the server has for a text: four numbers that single precision holds."""
    mark = crc32(text.encode())
    return [float(len(text)), *(float(mark >> shift & 0xFF) for shift in (0, 8, 16))]


def form_of(body: bytes) -> dict[str, bytes]:
    """The fields of a multipart body, by name; its boundary is its first line."""
    boundary = body.partition(b"\r\n")[0].removeprefix(b"--")
    head = b'Content-Type: multipart/form-data; boundary="%b"\r\n\r\n' % boundary
    parts: Any = BytesParser(policy=HTTP).parsebytes(head + body).get_payload()
    if isinstance(parts, str):
        msg = "the body is no form"
        raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in parts
    }


def _object(body: bytes) -> dict[str, Any]:
    data = orjson.loads(body)
    if not isinstance(data, dict) or not isinstance(data.get("model"), str):
        msg = "model: a name is required"
        raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
    return data


def _asked(data: dict[str, Any], inputs: list[str]) -> Asked:
    words = sum(len(text.split()) for text in inputs)
    form = str(data.get("encoding_format") or "")
    return Asked(data["model"], "\n".join(inputs), words, None, inputs=tuple(inputs), form=form)


def _used(asked: Asked) -> dict[str, int]:
    return {"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens}


def _written(numbers: list[float], *, packs: bool) -> list[float] | str:
    return b64encode(struct.pack(f"<{WIDTH}f", *numbers)).decode() if packs else numbers

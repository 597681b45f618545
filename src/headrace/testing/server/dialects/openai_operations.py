"""What OpenAI and compatible servers do beside chat and vectors: rankings, judgements, speech.

What they answer follows from the words, so that a test can say what it has to be.
"""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headrace.testing.server.dialects.base import Asked
from headrace.testing.server.dialects.bedrock import model_of
from headrace.testing.server.dialects.forms import Form, asked_of, named, object_of
from headrace.testing.server.dialects.openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.server.dialects.base import Said

BAD: Final = "bad"
"""The word for which a text is flagged."""


class Moderations(OpenAI):
    """``/moderations``: a text with the word "bad" is flagged."""

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        del target
        data = object_of(body)
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
        data = object_of(body)
        if not isinstance(data.get("voice"), str):
            msg = "voice: a name is required"
            raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
        return _asked(data, [data["input"]])

    def sound(self, asked: Asked) -> bytes:
        """What is heard."""
        return b"ID3" + asked.prompt.encode()


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


def _asked(data: dict[str, Any], inputs: list[str]) -> Asked:
    words = sum(len(text.split()) for text in inputs)
    return Asked(named(data, ""), "\n".join(inputs), words, None, inputs=tuple(inputs))


def _rank(
    write: Callable[[Asked, list[dict[str, object]], int], dict[str, object]],
    model: Callable[[dict[str, Any], str], str],
    data: dict[str, Any],
    target: str,
) -> Asked:
    query, documents, top_n = data.get("query"), data.get("documents"), data.get("top_n")
    if not isinstance(query, str) or not isinstance(documents, list):
        msg = "query and documents are required"
        raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects

    def answer(asked: Asked, n: int) -> dict[str, object]:
        return write(asked, _ranked(query, documents)[:top_n], n)

    return asked_of(model(data, target), [query, *documents], answer)


def _ranked(query: str, documents: list[str]) -> list[dict[str, object]]:
    """A document's score is its share of the query's words."""
    words = set(query.split())
    scores = [len(words & set(text.split())) / max(1, len(words)) for text in documents]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return [{"index": i, "relevance_score": scores[i]} for i in order]


def _openai_ranking(asked: Asked, rows: list[dict[str, object]], n: int) -> dict[str, object]:
    usage = {"prompt_tokens": asked.input_tokens, "total_tokens": asked.input_tokens}
    return {"id": f"rank-{n}", "model": asked.model, "results": rows, "usage": usage}


def _cohere_ranking(asked: Asked, rows: list[dict[str, object]], n: int) -> dict[str, object]:
    del asked
    return {"id": f"{n:032x}", "results": rows, "meta": {"billed_units": {"search_units": 1}}}


def _bare_ranking(asked: Asked, rows: list[dict[str, object]], n: int) -> dict[str, object]:
    del asked, n
    return {"results": rows}


def _invoked_model(data: dict[str, Any], target: str) -> str:
    """Cohere's rankers want to be told the version of their API, and Amazon's refuse it."""
    model = model_of(target)
    if ("cohere." in model) is not ("api_version" in data):
        wrong = "required key [api_version] not found"
        if "api_version" in data:
            wrong = "extraneous key [api_version] is not permitted"
        msg = f"Malformed input request: {wrong}, please reformat your input and try again."
        raise ValueError(msg)
    return model


RANKINGS: Final = {
    "openai": Form("query", partial(_rank, _openai_ranking, named)),
    "cohere": Form("query", partial(_rank, _cohere_ranking, named)),
    "bedrock": Form("query", partial(_rank, _bare_ranking, _invoked_model)),
}
"""By the name of the form."""

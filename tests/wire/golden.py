"""How the cases of tests/golden are read: one file each for a wire's requests, replies and streams.

A request's case has ``prompt`` (whose messages may have ``parts``, each its kind and its fields)
and ``params``, and where it needs them ``tools``, ``schema``, ``model`` and ``endpoint`` (fields of
those rows) and ``stream``; expected are ``body``, and where they matter ``path``, ``headers`` and
``adaptations`` (a part of each sentence), or ``refused``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from headrace.core.context import RequestContext
from headrace.core.conversation import Message
from headrace.core.model import Endpoint, Model, Route
from headrace.core.params import SamplingParams
from headrace.core.parts import Opaque, Text, Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.core.schema import OutputSchema
from headrace.core.tools import Tool, VendorTool
from headrace.providers.base import CodecRequest
from headrace.providers.catalog import CLASSES

if TYPE_CHECKING:
    from headrace.core.tools import AnyTool
    from headrace.providers.base import Codec

Case: TypeAlias = dict[str, Any]
GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden"
CODECS: Final[dict[str, Codec]] = {
    wire: made.codec for wire, made in CLASSES.items() if issubclass(made, CodecRequest)
}
PARTS: Final[dict[str, Any]] = {
    "text": Text,
    "thinking": Thinking,
    "opaque": Opaque,
    "call": ToolCall,
}
# What the row of the vendor itself says.
OWN: Final[dict[str, Case]] = {"openai_chat": {"max_tokens_field": "max_completion_tokens"}}


def cases(name: str) -> list[Any]:
    """The cases of one golden file, each under its own name."""
    found: list[Case] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["case"]) for case in found]


def of_each_wire(what: str) -> list[Any]:
    """Wire and case, over all wires whose file of that name is there."""
    files = {wire: GOLDEN / f"{wire}_{what}.json" for wire in CODECS}
    return [
        pytest.param(wire, case, id=f"{wire}: {case['case']}")
        for wire, path in files.items()
        if path.exists()
        for case in json.loads(path.read_text(encoding="utf-8"))
    ]


def route(wire: str, case: Case | None = None) -> Route:
    """The model ``m`` at an endpoint that speaks ``wire``, with what a case says of both."""
    case = case or {}
    said = {**OWN.get(wire, {}), **case.get("endpoint", {})}
    row = Endpoint(**{"name": "endpoint", "wire": wire, "base_url": "http://127.0.0.1", **said})
    return Route(Model(**{"id": "endpoint/m", **case.get("model", {})}), row, "http://127.0.0.1")


def context(case: Case) -> RequestContext:
    """What a case asks."""
    schema, prompt = case.get("schema"), case.get("prompt", "hi")
    return RequestContext(
        prompt=[_message(row) for row in prompt] if isinstance(prompt, list) else prompt,
        params=SamplingParams(**case["params"]) if case.get("params") else None,
        tools=tuple(_tool(row) for row in case.get("tools", ())),
        output_schema=None if schema is None else OutputSchema("answer", json.dumps(schema), str),
    )


def _message(row: Case) -> Any:  # noqa: ANN401 - a dict or a Message, as prompts hold them
    """A dict as users write it, or one with ``parts`` that only a response holds."""
    if "parts" not in row:
        return row
    return Message(row["role"], tuple(PARTS[kind](*fields) for kind, *fields in row["parts"]))


def _tool(row: Case) -> AnyTool:
    if "vendor" in row:
        return VendorTool(row["vendor"], json.dumps(row.get("options", {})))
    given = {key: value for key, value in row.items() if key != "parameters"}
    if "parameters" in row:
        given["schema"] = json.dumps(row["parameters"])
    return Tool(**given)


def reply_of(case: Case) -> Reply:
    """The reply of a case: its ``body``, or its ``text`` as it is."""
    body = case["text"] if "text" in case else json.dumps(case["body"])
    return Reply(case.get("status", 200), body.encode(), case.get("headers", {}))

"""Converse as botocore's model of the service has it: the published type of both directions."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from headrace.wire import bedrock_converse
from tests.wire.golden import Case, cases, context, reply_of, route

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

pytestmark = pytest.mark.once

WIRE: Final = "bedrock_converse"
REQUESTS: Final = [
    case for case in cases(f"{WIRE}_requests.json") if "refused" not in case.values[0]
]
# What botocore does not know: fields that a server might send, or that no server does.
NOT_THEIRS: Final = {"a reason that nobody knows"}
REPLIES: Final = [
    case
    for case in cases(f"{WIRE}_replies.json")
    if "answer" in case.values[0] and case.id not in NOT_THEIRS
]
STREAMS: Final = [case for case in cases(f"{WIRE}_streams.json") if "answer" in case.values[0]]


@cache
def operation(name: str) -> OperationModel:
    service = botocore.session.Session().get_service_model("bedrock-runtime", "2023-09-30")
    return service.operation_model(name)


def theirs(shape: Any, value: Any, where: str = "") -> Any:  # noqa: ANN401 - JSON of any shape
    """``value`` as botocore takes it, with bytes where it wants them; all names and words known."""
    if shape.type_name == "blob":
        return b64decode(value, validate=True)
    if shape.type_name == "list":
        return [theirs(shape.member, item, f"{where}[]") for item in value]
    if shape.type_name == "string":
        assert not shape.enum or value in shape.enum, f"{where}: {value!r}"
        pattern = shape.metadata.get("pattern")
        assert not pattern or re.fullmatch(pattern, value), f"{where}: {value!r}"
        return value
    if shape.type_name != "structure" or shape.is_document_type:
        return value
    assert value.keys() <= shape.members.keys(), where
    assert len(value) == 1 or not shape.is_tagged_union, where
    return {name: theirs(shape.members[name], v, f"{where}.{name}") for name, v in value.items()}


@pytest.mark.parametrize("case", REQUESTS)
def test_what_we_send_is_what_botocore_would_send(case: Case) -> None:
    way = route(WIRE, case)
    is_stream = case.get("stream", False)
    draft = bedrock_converse.encode(context(case), way, stream=is_stream)
    model = operation("ConverseStream" if is_stream else "Converse")
    assert model.input_shape is not None
    params = theirs(model.input_shape, {**json.loads(draft.body), "modelId": way.model.name})
    report = ParamValidator().validate(params, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    made = create_serializer("rest-json").serialize_to_request(params, model)
    assert json.loads(made["body"]) == json.loads(draft.body)
    assert made["url_path"] == draft.path


@pytest.mark.parametrize("case", REPLIES)
def test_what_botocore_reads_we_read_as_well(case: Case) -> None:
    model, reply = operation("Converse"), reply_of(case)
    shape: Shape | None = model.output_shape
    assert shape is not None
    theirs(shape, json.loads(reply.body))
    sent = {"status_code": 200, "headers": dict(reply.headers), "body": reply.body}
    read: Any = create_parser("rest-json").parse(sent, shape)
    ours = bedrock_converse.decode(context({}), route(WIRE), reply)
    blocks = read["output"]["message"]["content"]
    cited = [b["citationsContent"]["content"] for b in blocks if "citationsContent" in b]
    said = [b["text"] for block in [*cited, blocks] for b in block if "text" in b]
    assert ours.completion == "".join(said)
    called = [b["toolUse"] for b in blocks if "toolUse" in b and "type" not in b["toolUse"]]
    assert [(call.id, call.name) for call in ours.tool_calls] == [
        (call["toolUseId"], call["name"]) for call in called
    ]
    assert ours.metadata.get("finish_reason") == read.get("stopReason")
    assert ours.metadata["metrics"] == read["metrics"]
    if ours.usage is not None:
        assert ours.usage.total_tokens == read["usage"]["totalTokens"]


@pytest.mark.parametrize("case", STREAMS)
def test_the_events_of_the_streams_are_botocores(case: Case) -> None:
    shape: Any = operation("ConverseStream").output_shape
    events = shape.members["stream"].members
    for event, data in case["frames"]:
        if event in events:  # the padding is none of its own
            theirs(events[event], {name: data[name] for name in data if name != "p"}, event)


def test_every_block_that_botocore_knows_is_read() -> None:
    """None is an error: what has no word of ours is kept for the next turn."""
    shape: Any = operation("Converse").output_shape
    message = shape.members["output"].members["message"]
    for name in message.members["content"].member.members:
        block = {name: "x" if name == "text" else {"toolUseId": "i", "name": "n"}}
        body = {"output": {"message": {"role": "assistant", "content": [block]}}}
        reply = reply_of({"body": {**body, "stopReason": "end_turn"}})
        answer = bedrock_converse.decode(context({}), route(WIRE), reply)
        assert answer.finish_reason == ("tool" if name == "toolUse" else "stop")


def test_every_stop_reason_has_a_golden_case() -> None:
    shape: Any = operation("Converse").output_shape
    found = {case.values[0].get("body", {}).get("stopReason") for case in GOLDEN}
    assert set(shape.members["stopReason"].enum) <= found


GOLDEN: Final[list[Any]] = [
    case for case in cases(f"{WIRE}_replies.json") if isinstance(case.values[0].get("body"), dict)
]

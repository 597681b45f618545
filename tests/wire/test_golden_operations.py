"""What goes over the wire beside chat, and what is read from it: tests/golden/operations.

One file for each (wire, operation), with its requests and replies.
"""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from headrace import Audio, Image, RequestContext, SamplingParams, Usage
from headrace.core.errors import BadRowError, ProviderError, RejectedError
from headrace.core.model import Endpoint, Model, Route
from headrace.core.operations import (
    Embed,
    EmbedPack,
    Moderate,
    Moderation,
    Operation,
    Rerank,
    Speak,
    Transcribe,
)
from headrace.core.reply import Reply
from headrace.providers.operations import CODECS, class_of
from headrace.registry import endpoints
from headrace.testing.server.dialects.openai_operations import form_of
from headrace.wire import failure, record

if TYPE_CHECKING:
    from headrace.core.response import APIResponse

Case: TypeAlias = dict[str, Any]
GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden" / "operations"
FILES: Final[dict[str, dict[str, list[Case]]]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(GOLDEN.glob("*.json"))
}
ROW: Final = Endpoint(name="endpoint", wire="openai_chat")


def of_each(kind: str) -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{case['case']}")
        for name, rows in FILES.items()
        for case in rows[kind]
    ]


def wire_of(name: str) -> tuple[str, str]:
    wire, _, operation = name.rpartition("_")
    return wire, operation


def asked(case: Case) -> Operation:
    [(name, given)] = case["asked"].items()
    match name:
        case "embed":
            items = tuple(Embed(_input(each), **given) for each in given.pop("inputs"))
            return EmbedPack(items) if len(items) > 1 else items[0]
        case "rerank":
            return Rerank(given["query"], tuple(given["documents"]), given.get("top_n"))
        case "moderate":
            return Moderate(**given)
        case "speak":
            return Speak(**given)
    audio = Audio.from_bytes(given["audio"].encode(), "audio/mpeg")
    return Transcribe(**{**given, "audio": audio})


def _input(given: str | dict[str, str]) -> str | Image:
    return given if isinstance(given, str) else Image.from_url(given["image"])


def context(case: Case) -> RequestContext:
    copied = json.loads(json.dumps(case))
    params = SamplingParams(**case["params"]) if "params" in case else None
    return RequestContext(prompt=asked(copied), params=params)


def route(endpoint: str, wire: str, name: str = "some/model") -> Route:
    """By our own row; one that speaks a wire of its own elsewhere is given it here."""
    row = endpoints.known().get(endpoint)
    if row is None or endpoint == wire:
        row = Endpoint(name=endpoint, wire=wire, operations=endpoints.offers()[endpoint])
    return Route(Model(id=f"{endpoint}/{name}"), row, "http://127.0.0.1")


def plain(value: object) -> object:
    match value:
        case array():
            return list(value)
        case tuple():
            return [plain(each) for each in value]
        case Moderation():
            scores = dict(value.scores)
            return {
                "flagged": value.flagged,
                "categories": dict(value.categories),
                "scores": scores,
            }
        case Audio():
            return [(value.data or b"").decode(), value.media_type]
        case None:
            return None
    return [value.index, value.score]  # type: ignore[attr-defined]  # a Ranked


@pytest.mark.parametrize(("name", "case"), of_each("requests"))
def test_requests(name: str, case: Case) -> None:
    wire, operation = wire_of(name)
    way = route(case["endpoint"], wire, case.get("model", "some/model"))
    codec: Any = class_of(operation, way)
    encode, given = codec.codec.encode, context(case)
    if "refused" in case or "bad_row" in case:
        with pytest.raises(
            (RejectedError, BadRowError), match=case.get("refused", case.get("bad_row"))
        ):
            encode(given, way)
        return
    draft = encode(given, way)
    assert draft.path == case["path"]
    assert dict(draft.headers) == case.get("headers", {})
    if "form" in case:
        fields = {name: value.decode() for name, value in form_of(draft.body).items()}
        assert fields == case["form"]
        assert draft.content_type.encode().endswith(draft.body.partition(b"\r\n")[0][2:])
    else:
        assert json.loads(draft.body) == case["body"]
        assert draft.content_type == "application/json"
    expected = case.get("adaptations", [])
    assert len(draft.adaptations) == len(expected), draft.adaptations
    for words, sentence in zip(expected, draft.adaptations, strict=True):
        assert words in sentence


@pytest.mark.parametrize(("name", "case"), of_each("replies"))
def test_replies(name: str, case: Case) -> None:
    body = case["text"] if "text" in case else json.dumps(case["body"])
    reply, given = Reply(case.get("status", 200), body.encode()), context(case)
    way = Route(Model(id="endpoint/some/model"), ROW, "http://127.0.0.1")
    codec = CODECS[wire_of(name)]

    def read() -> APIResponse[object]:
        failure.check(reply)
        return codec.decode(given, way, reply)

    if "code" in case:
        with pytest.raises(ProviderError) as caught:
            read()
        assert caught.value.code == case["code"]
        assert case.get("says", "") in caught.value.message
        return
    answer = read()
    check_answer(answer, case)
    assert answer.reply is reply
    if not isinstance(answer.parsed, tuple) or name.endswith("rerank"):
        # What stores keep is the same.
        check_answer(record.load(record.dump(answer)), case)


def check_answer(answer: APIResponse[object], case: Case) -> None:
    assert plain(answer.parsed) == case.get("value")
    assert answer.completion == case.get("completion")
    assert answer.usage == (Usage(*case["usage"]) if "usage" in case else None)
    assert answer.cost_nanos == case.get("cost_nanos")
    assert answer.model == case["model"]
    assert answer.finish_reason == case.get("finish_reason")
    assert dict(answer.metadata) == case.get("metadata", {})


def test_each_codec_has_its_golden_file() -> None:
    covered = {wire_of(name) for name in FILES}
    same = {("cohere", "rerank"): ("openai_chat", "rerank")}
    same |= {("cohere", "transcribe"): ("openai_chat", "transcribe")}
    assert {same.get(each, each) for each in CODECS} == covered


@pytest.mark.parametrize("endpoint", sorted(endpoints.known()))
def test_what_is_offered_can_be_written(endpoint: str) -> None:
    row = endpoints.known()[endpoint]
    way = Route(Model(id=f"{endpoint}/m"), row, "http://127.0.0.1")
    for operation in row.operations:
        if operation != "files":
            assert class_of(operation, way) is class_of(operation, way)
    for operation in {"embed", "rerank", "transcribe"} - row.operations.keys():
        with pytest.raises(RejectedError, match=f"does not {operation}"):
            class_of(operation, way)

"""InvokeModel: the body is of Anthropic's published types, path and headers are botocore's."""

from __future__ import annotations

import json
from typing import Final

import pytest
from botocore.serialize import create_serializer

from headrace.wire import bedrock_anthropic
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_vendor_anthropic import check
from tests.wire.test_vendor_bedrock_converse import operation

pytestmark = pytest.mark.once

WIRE: Final = "bedrock_anthropic"
SENT: Final = [case for case in cases(f"{WIRE}_requests.json") if "body" in case.values[0]]


@pytest.mark.parametrize("case", SENT)
def test_what_we_send_is_of_both_vendors_types(case: Case) -> None:
    way, is_stream = route(WIRE, case), case.get("stream", False)
    draft = bedrock_anthropic.encode(context(case), way, stream=is_stream)
    body = json.loads(draft.body)
    assert body.pop("anthropic_version")
    body.pop("anthropic_beta", None)
    check({"model": "m", **body}, beta="tools" in body)
    name = "InvokeModelWithResponseStream" if is_stream else "InvokeModel"
    params = {"modelId": way.model.name, "body": draft.body}
    params |= {"serviceTier": "flex"} if "tier" in case["case"] else {}
    made = create_serializer("rest-json").serialize_to_request(params, operation(name))
    assert made["url_path"] == draft.path
    theirs = {name.lower(): value for name, value in made["headers"].items()}
    assert theirs.get("x-amzn-bedrock-service-tier") == dict(draft.headers).get(
        "x-amzn-bedrock-service-tier"
    )

"""Writes docs/features.md to standard output: what each endpoint takes, as codecs and rows say.

A cell is found by asking: the codec writes a request with the feature in it, or refuses it under
``on_unsupported="error"``. tests/wire/test_features.py sends each of these requests through the
real transport, and looks for the feature in what arrives.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import genai_prices.data

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import HeadraceError
from headrace.core.media import Audio, File, Image
from headrace.core.model import Model, Route
from headrace.core.operations import Embed, Moderate, Rerank, Speak, Transcribe
from headrace.core.params import SamplingParams
from headrace.core.schema import OutputSchema
from headrace.core.tools import Tool, VendorTool
from headrace.providers.base import CodecRequest
from headrace.providers.catalog import CLASSES
from headrace.providers.operations import class_of
from headrace.registry import endpoints

if TYPE_CHECKING:
    from headrace.core.media import Media
    from headrace.core.model import Endpoint
    from headrace.core.operations import Operation
    from headrace.wire.draft import Draft

HEAD: Final = """# What each endpoint takes

What headrace can send to each endpoint of its [rows](endpoints.md), found by asking its codecs, and
checked by sending each of these requests. Whether a *model* understands an image or a tool is the
model's business: what its vendor's API has no place for is [adapted](messages.md) or refused, and
what a model refuses comes back as that row's error, in the vendor's words.

`yes`: carried as it is. `-`: the API has no place for it: it is left out or said otherwise, and
the response's `adaptations` say so (with `on_unsupported="error"` the request fails instead).
"""
CACHED: Final = """
**caching** is about marks for the provider's own cache (`prompt_caching=`): where there is a dash,
the API takes none, and many of these cache by themselves; usage shows reads and writes wherever the
provider tells them. From **embed** on it is [more than chat](more-than-chat.md), which also tells
what only some models of an endpoint have a form for (images with Titan's, Cohere's and Gemini's on
Bedrock and Vertex). **limits**: `yes` where replies have headers that tell limits, which headrace
reads. **prices**: `yes` where price data (extra `prices`) know the vendor.
"""
STRICT: Final = SamplingParams(on_unsupported="error")
PNG: Final = b"\x89PNG\r\n\x1a\n probe of an image"
PDF: Final = b"%PDF-1.7 probe of a file"
WAV: Final = b"RIFF\0\0\0\0WAVEfmt probe of audio"
TOOL: Final = Tool(
    "probe_of_tools", "Asks.", '{"type":"object","properties":{"a":{"type":"string"}}}'
)
SCHEMA: Final = OutputSchema(
    "probe",
    '{"type":"object","properties":{"probe_of_schema":{"type":"string"}},'
    '"required":["probe_of_schema"],"additionalProperties":false}',
    str,
)


class Probe(NamedTuple):
    """A request with one feature in it, and the text that shows it in a body.

    Where there is no ``mark``, the body is another one than without the feature.
    """

    context: RequestContext
    mark: str | None = None
    stream: bool = False


def showing(media: Media) -> Probe:
    """A prompt with a picture, a file or a sound."""
    prompt = Conversation().user("What is this?", media)
    return Probe(RequestContext(prompt=prompt, params=STRICT), media.base64 or media.url)


def asking(**params: object) -> Probe:
    """A prompt with parameters."""
    given = STRICT | SamplingParams.model_validate(params)
    prompt = Conversation().system("Be brief.").user("hi")
    return Probe(RequestContext(prompt=prompt, params=given))


def using(kind: str) -> Probe:
    """A prompt with a tool of the vendor's own."""
    return Probe(RequestContext(prompt="hi", params=STRICT, tools=(VendorTool(kind),)))


def doing(operation: Operation, mark: str) -> Probe:
    """What is no conversation."""
    return Probe(RequestContext(prompt=operation, params=STRICT), mark)


PROBES: Final[dict[str, Probe]] = {
    "text": Probe(RequestContext(prompt="probe of text", params=STRICT), "probe of text"),
    "images": showing(Image.from_bytes(PNG)),
    "image URLs": showing(Image.from_url("https://example.test/probe.png")),
    "files": showing(replace(File.from_bytes(PDF), name="probe.pdf")),
    "audio": showing(Audio.from_bytes(WAV)),
    "tools": Probe(RequestContext(prompt="hi", params=STRICT, tools=(TOOL,)), TOOL.name),
    "schema": Probe(
        RequestContext(prompt="hi", params=STRICT, output_schema=SCHEMA), "probe_of_schema"
    ),
    "reasoning": asking(reasoning_effort="high"),
    "streaming": Probe(RequestContext(prompt="hi", params=STRICT), stream=True),
    "caching": asking(prompt_caching="system_and_tools"),
    "logprobs": asking(logprobs=True),
    "web search": using("web_search"),
    "code": using("code_execution"),
    "file search": using("file_search"),
    "computer": using("computer_use"),
    "embed": doing(Embed("probe of embed"), "probe of embed"),
    "embed images": doing(Embed(Image.from_bytes(PNG)), Image.from_bytes(PNG).base64),
    "rerank": doing(Rerank("probe of rerank", ("a",)), "probe of rerank"),
    "moderate": doing(Moderate("probe of moderate"), "probe of moderate"),
    "transcribe": doing(Transcribe(Audio.from_bytes(WAV)), "probe of audio"),
    "speak": doing(Speak("probe of speak", voice="a"), "probe of speak"),
}


def drafted(row: Endpoint, probe: Probe) -> Draft | None:
    """The request that the codec writes, None where it refuses."""
    kind = CLASSES[row.wire]
    route = Route(Model(id=f"{row.name}/model"), row, row.base_url or "http://127.0.0.1")
    if not issubclass(kind, CodecRequest):
        return None
    try:
        if probe.context.operation != "chat":
            return class_of(probe.context.operation, route).codec.encode(probe.context, route)
        return kind.codec.encode(probe.context, route, stream=probe.stream)
    except HeadraceError:
        return None


def takes(row: Endpoint, probe: Probe) -> bool:
    """Is the feature in the request that the codec writes?"""
    draft = drafted(row, probe)
    if draft is None or draft.adaptations:
        return False
    if probe.mark is not None:
        return probe.mark in draft.body.decode()
    plain = drafted(row, without(probe))
    return plain is not None and draft[:3] != plain[:3]


def without(probe: Probe) -> Probe:
    """The same request without its feature."""
    return Probe(replace(probe.context, params=STRICT, tools=()))


def is_priced(row: Endpoint) -> bool:
    """Do price data know the vendor?"""
    return row.vendor in {provider.id for provider in genai_prices.data.providers}


def line(row: Endpoint) -> str:
    """One endpoint as a line of the table."""
    kept = "files" in row.operations
    tells = row.limit_headers is not None
    cells = [*(takes(row, probe) for probe in PROBES.values()), kept, tells, is_priced(row)]
    return f"| `{row.name}` | {' | '.join('yes' if cell else '-' for cell in cells)} |\n"


def page() -> str:
    """The whole page."""
    names = ["endpoint", *PROBES, "file store", "limits", "prices"]
    top = f"\n| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
    return HEAD + top + "".join(map(line, endpoints.known().values())) + CACHED


if __name__ == "__main__":
    sys.stdout.write(page())

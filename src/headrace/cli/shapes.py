"""What rows and files say beside the prompt: tools, schemas of answers, OpenAI's batch form."""

from __future__ import annotations

import reprlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import orjson

from headrace.core.errors import BadRowError, ConfigError
from headrace.core.params import SamplingParams
from headrace.core.schema import OutputSchema
from headrace.core.tools import read_tools

if TYPE_CHECKING:
    from headrace.core.conversation import Prompt
    from headrace.core.operations import Operation
    from headrace.core.tools import AnyTool

# Which command answers the batch rows of an API.
_URLS: Final = {"/v1/chat/completions": "run", "/v1/embeddings": "embed"}
# What an OpenAI batch body holds beside parameters, or what headrace decides itself.
_NOT_PARAMETERS: Final = frozenset({"model", "messages", "stream", "stream_options"})


class Asked(NamedTuple):
    """What a row asks for; ``tools`` as they stand there."""

    prompt: Prompt | Operation
    params: SamplingParams | None
    tools: object = None
    schema: OutputSchema | None = None


def load_tools(path: str | None) -> tuple[AnyTool, ...] | None:
    """The tools in a file of JSON; raises ``ConfigError`` that names it."""
    if path is None:
        return None
    try:
        return read_tools(_load(path))
    except ConfigError as error:
        raise ConfigError(f"--tools {path}: {error}") from None


def load_schema(path: str | None) -> OutputSchema | None:
    """The JSON schema in a file; raises ``ConfigError`` that names it."""
    if path is None:
        return None
    try:
        return OutputSchema.of(_load(path))
    except ConfigError as error:
        raise ConfigError(f"--output-schema {path}: {error}") from None


def _load(path: str) -> object:
    try:
        return orjson.loads(Path(path).read_bytes())
    except OSError as error:
        said = f"cannot read it: {error.strerror or error}; give the path of a file"
        raise ConfigError(said) from None
    except ValueError as error:
        raise ConfigError(
            f"it is not JSON ({error}); docs/command-line.md has an example"
        ) from None


def take_shape(data: dict[str, object]) -> OutputSchema | None:
    """Take the schema out of a row, or out of the body of a request.

    What OpenAI calls ``response_format`` is one where it has a schema. Another format stays, but
    for that of plain text; ``BadRowError`` says what is wrong.
    """
    given = data.pop("output_schema", None)
    wanted = data.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_schema" or wanted is None or kind == "text":
        data.pop("response_format", None)
    if kind != "json_schema" and given is None:
        return None
    if kind == "json_schema" and given is not None:
        raise BadRowError("the row has output_schema and response_format; leave one out")
    shape = wanted if given is None else given
    if not isinstance(shape, dict):
        raise BadRowError(f"output_schema must be a JSON schema, not {shape!r:.50}")
    return _shape(orjson.dumps(shape))


# Rows mostly ask for the same, and its check is made ready once.
@lru_cache(maxsize=64)
def _shape(text: bytes) -> OutputSchema:
    try:
        return OutputSchema.of(orjson.loads(text))
    except ConfigError as error:
        raise BadRowError(str(error)) from None


def _take_choice(body: dict[str, object]) -> None:
    """Turn ``{"type": "function", "function": {"name": …}}`` into the tool's name."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "function":
        return
    inner = choice.get("function", choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    if isinstance(name, str):
        body["tool_choice"] = name


def with_body(params: SamplingParams | None, form: object) -> dict[str, object]:
    """The parameters, with a ``response_format`` that goes into the request as it is."""
    given = {} if params is None else params.given()
    body = params.extra_body if params is not None and params.extra_body else {}
    return {**given, "extra_body": {"response_format": form, **body}}


def batch_body(
    data: dict[str, object], command: str, prompt: str, outside: tuple[str, ...]
) -> dict[str, object]:
    """The body of a batch row, which must be one for this command.

    It has a ``prompt``, and what it says is not said ``outside`` of it, too.
    """
    mine = next(url for url, name in _URLS.items() if name == command)
    url, body = data.get("url", mine), data["body"]
    data.pop("model", None)
    for name in outside:
        if name in data:
            raise BadRowError(f'the parameters of a batch row are in its body; leave "{name}" out')
    if not isinstance(url, str) or not url.endswith(mine.removeprefix("/v1")):
        raise BadRowError(_of_another(url, mine))
    if not isinstance(body, dict) or body.get(prompt) is None:
        raise BadRowError(f'the body of a batch row must be an object with "{prompt}"')
    return body


def _of_another(url: object, mine: str) -> str:
    """Why a batch row with another url than ``mine`` is refused."""
    said = f"the url {reprlib.repr(url)} is not {mine}"
    for end, command in _URLS.items():
        if isinstance(url, str) and url.endswith(end.removeprefix("/v1")):
            return f"{said}; give this row to headrace {command}"
    return f"{said}; leave the row out, since headrace has no command for it"


def batch_asked(data: dict[str, object]) -> Asked:
    """The OpenAI batch form. Its model gives way to the one of the command line."""
    outside = ("params", "tools", "output_schema", "response_format")
    body = batch_body(data, "run", "messages", outside)
    given = {k: v for k, v in body.items() if v is not None and k not in _NOT_PARAMETERS}
    bound = given.pop("max_completion_tokens", None)
    if bound is not None:
        given["max_tokens"] = bound
    tools, shape = given.pop("tools", None), take_shape(given)
    _take_choice(given)
    known = {k: given.pop(k) for k in SamplingParams.model_fields if k in given}
    if isinstance(known.get("tool_choice"), dict):  # a choice that there is no word for
        given["tool_choice"] = known.pop("tool_choice")
    if given:
        known["extra_body"] = given
    params = SamplingParams.from_row(known) if known else None
    return Asked(cast("Prompt", body["messages"]), params, tools, shape)

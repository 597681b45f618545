"""One prompt on its way: the frozen ``RequestContext`` that moves through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.core import fingerprint
from headrace.core.bounds import SPAN, is_span
from headrace.core.conversation import Conversation, Prompt, brief
from headrace.core.errors import (
    BadRowError,
    ConfigError,
    CutOffError,
    HeadraceError,
    InvalidOutputError,
)
from headrace.core.operations import Operation, operation
from headrace.core.params import SamplingParams
from headrace.core.quick import quick
from headrace.core.schema import OutputSchema
from headrace.core.tools import AnyTool, Tool, read_tools


@quick
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RequestContext:
    """One prompt and what is asked for it alone. A caller sets the first eight fields.

    ``id`` is yours (the row number when None), ``params`` overlay those of the call and the client,
    ``model`` replaces the client's models for this row, ``tags`` come back on the response,
    ``deadline`` bounds the whole life of the request in seconds, ``tools`` are what the model may
    call, ``output_schema`` is what the answer has to look like. The rest is the engine's: a failed
    attempt yields the *next* context, with the error added to ``failures``.
    """

    prompt: Prompt | Operation
    id: str | None = None
    params: SamplingParams | None = None  # or a dict of them, which becomes one
    model: str | None = None
    tags: Mapping[str, object] | None = None
    deadline: float | None = None
    tools: tuple[AnyTool, ...] = ()
    output_schema: OutputSchema | None = None
    index: int = 0
    sample: int = 0
    occurrence: int = 0
    born_at: int = 0
    attempts: int = 0
    failures: tuple[HeadraceError, ...] = ()
    spent_nanos: int = 0

    def __post_init__(self) -> None:
        """Refuse what the engine would stumble over; the prompt is read when its turn comes."""
        if self.params is not None:
            _check_params(self)
        if self.id is not None or self.model is not None or self.tags is not None:
            _check_names(self)
        if self.tools != () or self.output_schema is not None:
            _check_shape(self)
        if self.deadline is not None and not is_span(self.deadline):
            msg = f"a deadline must be {SPAN}, not {self.deadline!r:.50}"
            raise BadRowError(msg)

    def __repr__(self) -> str:
        prompt: object = self.prompt
        said = f"a {type(prompt).__name__}"
        if isinstance(prompt, Conversation):
            said = f"{len(prompt.messages)} messages"
            prompt = prompt.messages[0].text if len(prompt.messages) == 1 else prompt
        if isinstance(prompt, str):
            said = repr(brief(prompt))
        return f"<RequestContext {brief(self.name)!r}: {said}>"

    @property
    def conversation(self) -> Conversation:
        """The prompt as a conversation; raises ``BadRowError`` where it is none."""
        return Conversation.of(self.prompt)

    @property
    def asked(self) -> Conversation | Operation:
        """What is asked, checked; raises ``BadRowError`` where it cannot be."""
        # Here and below: a conversation that was read before is the usual case, and costs no call.
        found = None if type(self.prompt) is Conversation else operation(self.prompt)
        if found is None:
            return self.conversation
        found.check()
        return found

    @property
    def operation(self) -> str:
        """What a request is for: "chat", or the name of another operation."""
        found = None if type(self.prompt) is Conversation else operation(self.prompt)
        return "chat" if found is None else found.name

    @property
    def writes(self) -> bool:
        """Is the answer made of tokens, which a bound would count?"""
        found = None if type(self.prompt) is Conversation else operation(self.prompt)
        return found is None or found.writes

    @property
    def schemas(self) -> tuple[str, ...]:
        """What counts as input beside a prompt: its tools and its output schema, as texts."""
        if not self.tools and self.output_schema is None:
            return ()
        own = [t for t in self.tools if isinstance(t, Tool)]
        said = [f"{tool.name} {tool.description} {tool.schema}" for tool in own]
        return (*said, *(() if self.output_schema is None else (self.output_schema.json,)))

    @property
    def name(self) -> str:
        """The id that the response will carry."""
        return str(self.index) if self.id is None else self.id

    @property
    def key(self) -> fingerprint.Key:
        """What this request is the same as; see ``core.fingerprint``."""
        asked = {} if self.params is None else self.params.asked
        subject = self.asked
        messages = subject.canonical()
        if not isinstance(subject, Conversation):
            return fingerprint.of_request(messages, asked, subject.name)
        if not self.tools and self.output_schema is None:
            return fingerprint.of_request(messages, asked)
        shape = None if self.output_schema is None else self.output_schema.canonical()
        tools = [tool.canonical() for tool in self.tools]
        return fingerprint.of_request(messages, asked, tools=tools, schema=shape)

    @property
    def cache_key(self) -> str:
        """64 hex digits that are equal for requests that may share an answer of one model."""
        return self.key.digest.hex()

    @property
    def identity(self) -> tuple[object, ...]:
        """What is hashed to notice rows that ask the same; a cheap stand-in for ``key``."""
        asked = None if self.params is None else repr(self.params.asked)
        return (self.prompt, self.model, asked, self.tools, self.output_schema)

    def with_feedback(self) -> RequestContext:
        """This request with what was wrong with the shape of the last answer that had another.

        To have been cut off is no mistake: it is not told.
        """
        whole = (e for e in reversed(self.failures) if not isinstance(e, CutOffError))
        last = next((e for e in whole if isinstance(e, InvalidOutputError)), None)
        if last is None:
            return self
        again = (
            f"That answer does not fit the schema: {last.problem}. Answer again, with nothing but"
            " JSON that fits it."
        )
        # What cannot be sent, an answer may hold all the same.
        said, told = (text.encode(errors="replace").decode() for text in (last.said, again))
        prompt = self.conversation.assistant(said or "(no text)").user(told)
        return replace(self, prompt=prompt)

    def carrying(self, other: RequestContext) -> RequestContext:
        """This request with what ``other``, the same one further on, has been through."""
        return replace(
            self,
            attempts=other.attempts,
            failures=other.failures,
            spent_nanos=other.spent_nanos,
        )

    def after(self, error: HeadraceError, *, counted: bool, billed: int = 0) -> RequestContext:
        """The next context after a failed attempt.

        ``counted`` says whether it used up an attempt, ``billed`` what it cost in nano-dollars.
        """
        return replace(
            self,
            attempts=self.attempts + counted,
            failures=(*self.failures, error),
            spent_nanos=self.spent_nanos + billed,
        )


def _check_params(context: RequestContext) -> None:
    params = context.params
    if isinstance(params, dict):
        object.__setattr__(context, "params", SamplingParams.from_row(params))
    elif params is not None and not isinstance(params, SamplingParams):
        msg = f"params must be SamplingParams, not {type(params).__name__}"
        raise BadRowError(msg)


def _check_names(context: RequestContext) -> None:
    if context.id is not None and not isinstance(context.id, str):
        msg = f"the id of a request must be text, not {type(context.id).__name__}; use str()"
        raise BadRowError(msg)
    if context.model is not None and not isinstance(context.model, str):
        msg = (
            f'the model of a request must be "endpoint/model", not {type(context.model).__name__};'
            " give a Model row to the client"
        )
        raise BadRowError(msg)
    if context.tags is not None and not isinstance(context.tags, Mapping):
        msg = f"tags must be a dict of your own, not {type(context.tags).__name__}"
        raise BadRowError(msg)


def _check_shape(context: RequestContext) -> None:
    try:
        if type(context.tools) is not tuple or context.tools:
            object.__setattr__(context, "tools", read_tools(context.tools))
        if context.output_schema is not None:
            object.__setattr__(context, "output_schema", OutputSchema.of(context.output_schema))
    except ConfigError as error:
        raise BadRowError(str(error)) from None

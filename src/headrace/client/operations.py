"""More than chat: vectors, rankings, speech and its text, judgements."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sized,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, cast

from headrace.client.bulk import Bulk
from headrace.client.listing import check_offers
from headrace.config import Call
from headrace.core.errors import ConfigError, RunStoppedError
from headrace.core.operations import (
    Embed,
    Operation,
)
from headrace.engine.course import failed
from headrace.engine.packing import PackingPipeline
from headrace.engine.pipeline import Pipeline
from headrace.engine.scheduler import window
from headrace.engine.streams import ResponseStream

if TYPE_CHECKING:
    import os
    from typing import TypeAlias

    from headrace.config import Models, OnResponse
    from headrace.core.context import RequestContext
    from headrace.core.params import SamplingParams
    from headrace.engine.runs import Run
    from headrace.engine.streams import Deliver

    Texts: TypeAlias = Iterable[str] | AsyncIterable[str]
    Item: TypeAlias = Operation | RequestContext

A = TypeVar("A")
T = TypeVar("T")
# Rows that may be live at once: enough for a few full packs, and each is a coroutine.
MOST_LIVE: Final = 8192
PACKS: Final = 4


class OperationOptions(TypedDict, total=False):
    """Options of these calls; see ``AskOptions`` and ``RunOptions`` for what each means."""

    model: Models | None
    sampling_params: SamplingParams | None
    deadline: float | None
    show_progress: bool
    on_response: OnResponse | None
    journal: str | os.PathLike[str] | None


def own(known: type[OperationOptions], options: OperationOptions) -> dict[str, Any]:
    """Those of a verb's ``options`` that belong to the operation, and not to the call."""
    names = known.__annotations__.keys() - OperationOptions.__annotations__.keys()
    return {name: value for name, value in options.items() if name in names}


@dataclass(frozen=True, slots=True)
class Asking:
    """One call, read: what is asked, with which options, and in which way it goes."""

    items: Iterable[Item] | AsyncIterable[Item]
    is_one: bool
    call: Call
    kind: type[Pipeline]
    width: int


class Operating(Bulk):
    """How the verbs for what is no conversation go.

    One thing in, one response out; an iterable of them gives ``Responses``, one for each in order.
    All go the way of prompts: limits, retries, cache, journal and progress are the same. A bad row
    is a response with an ``error``. An endpoint that does not offer an operation raises
    ``ConfigError``, which names those that do, before anything is sent.
    """

    def _read(  # noqa: PLR0917 - what a verb is, each part once
        self,
        name: str,
        given: A | Iterable[A] | AsyncIterable[A],
        single: type[A] | tuple[type[Any], ...],
        make: Callable[[A], Item],
        options: OperationOptions,
        known: type[OperationOptions] = OperationOptions,
        **more: object,
    ) -> Asking:
        """The options, checked; raises ``ConfigError`` where an endpoint does not offer it.

        ``known`` are all that the verb takes.
        """
        is_one = isinstance(given, single)
        shown = {"show_progress": not is_one, **options}
        call = self._call(known, shown, **more)
        for state in call.choice.lanes:
            check_offers(state.route, name)
        kind, width = Pipeline, window(call.choice.slots)
        if name == Embed.name:
            offers = [s.route.offer(name) for s in call.choice.lanes]
            items = max(1 if offer is None else offer.items for offer in offers)
            kind, width = PackingPipeline, max(width, min(PACKS * items, MOST_LIVE))
        items_ = [make(cast("A", given))] if is_one else _each(cast("Iterable[A]", given), make)
        return Asking(items_, is_one, call, kind, width)

    def _streamed(self, asked: Asking, *, ordered: bool) -> ResponseStream:
        async def run(deliver: Deliver) -> None:
            await self._go(asked, keep=False, deliver=deliver)

        return ResponseStream(run, bound=asked.width, ordered=ordered)

    async def _asked(self, asked: Asking) -> object:
        if not asked.is_one:
            run = await self._go(asked)
            return run.responses
        try:
            run = await self._go(asked)
        except RunStoppedError as error:
            [item] = cast("list[Operation]", asked.items)
            return failed(asked.call.context(0, item, self._clock.now()), error)
        return run.responses[0]

    def _asked_sync(self, asked: Asking) -> object:
        return self._portal.call(lambda: self._asked(asked))

    def _go(
        self, asked: Asking, *, keep: bool = True, deliver: Deliver | None = None
    ) -> Coroutine[Any, Any, Run]:
        return self._run(
            asked.items, asked.call, keep=keep, deliver=deliver, kind=asked.kind, width=asked.width
        )


def _each(
    given: Iterable[A] | AsyncIterable[A], make: Callable[[A], Item]
) -> Iterable[Item] | AsyncIterable[Item]:
    """Lazily, but for what has a length, which progress shows."""
    if isinstance(given, bytes | Mapping):
        msg = f"what is asked must be one item or a list of them, not {type(given).__name__}"
        raise ConfigError(msg)
    if isinstance(given, AsyncIterable):
        return _each_async(given, make)
    if not isinstance(given, Iterable):
        return given  # the schedule says what is wrong with it
    return [make(one) for one in given] if isinstance(given, Sized) else map(make, given)


async def _each_async(given: AsyncIterable[A], make: Callable[[A], Item]) -> AsyncIterator[Item]:
    async for one in given:
        yield make(one)

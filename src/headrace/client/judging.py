"""Documents put in order, and texts judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Unpack, cast, overload

from headrace.client.operations import Operating, OperationOptions
from headrace.core.errors import ConfigError
from headrace.core.operations import Moderate, Rerank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.client.operations import Asking, Texts
    from headrace.core.operations import Moderation, Ranked
    from headrace.core.response import APIResponse, Responses


class RerankOptions(OperationOptions, total=False):
    """``top_n`` is how many of the best are wanted."""

    top_n: int | None


class Judging(Operating):
    """The verbs for rankings and judgements."""

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        **options: Unpack[RerankOptions],
    ) -> APIResponse[tuple[Ranked, ...]]:
        """Put documents in order of what they have to do with ``query``, best first.

        ``parsed`` holds their ``index`` among those given and a ``score``, of the ``top_n`` best.
        Many queries go as ``Rerank`` prompts to ``process_prompts_async``.
        """
        asked = self._rerank(query, documents, options)
        return cast("APIResponse[tuple[Ranked, ...]]", await self._asked(asked))

    def rerank_sync(
        self,
        query: str,
        documents: Sequence[str],
        **options: Unpack[RerankOptions],
    ) -> APIResponse[tuple[Ranked, ...]]:
        """``rerank`` for scripts, threads and notebooks."""
        asked = self._rerank(query, documents, options)
        return cast("APIResponse[tuple[Ranked, ...]]", self._asked_sync(asked))

    @overload
    async def moderate(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str, **options: Unpack[OperationOptions]
    ) -> APIResponse[Moderation]: ...
    @overload
    async def moderate(
        self, texts: Texts, **options: Unpack[OperationOptions]
    ) -> Responses[Moderation]: ...
    async def moderate(
        self, texts: str | Texts, **options: Unpack[OperationOptions]
    ) -> APIResponse[Moderation] | Responses[Moderation]:
        """Judge what texts would be refused for: ``parsed`` says ``flagged``, and why."""
        asked = self._read(Moderate.name, texts, str, Moderate, options)
        return cast("APIResponse[Moderation] | Responses[Moderation]", await self._asked(asked))

    @overload
    def moderate_sync(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str, **options: Unpack[OperationOptions]
    ) -> APIResponse[Moderation]: ...
    @overload
    def moderate_sync(
        self, texts: Texts, **options: Unpack[OperationOptions]
    ) -> Responses[Moderation]: ...
    def moderate_sync(
        self, texts: str | Texts, **options: Unpack[OperationOptions]
    ) -> APIResponse[Moderation] | Responses[Moderation]:
        """``moderate`` for scripts, threads and notebooks."""
        asked = self._read(Moderate.name, texts, str, Moderate, options)
        return cast("APIResponse[Moderation] | Responses[Moderation]", self._asked_sync(asked))

    def _rerank(self, query: str, documents: Sequence[str], options: RerankOptions) -> Asking:
        top_n = options.get("top_n")
        if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Iterable):
            kind = type(documents).__name__
            msg = f"documents must be a list of texts, not {kind}; put them into one"
            raise ConfigError(msg)
        if top_n is not None and (type(top_n) is not int or top_n < 1):
            msg = f"top_n must be a whole number above zero, not {top_n!r:.50}"
            raise ConfigError(msg)
        given = Rerank(query, tuple(documents), top_n)
        return self._read(Rerank.name, given, Rerank, lambda one: one, options, RerankOptions)

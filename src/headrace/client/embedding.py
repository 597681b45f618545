"""Texts into vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack, cast, overload

from headrace.client.operations import Operating, OperationOptions
from headrace.core.context import RequestContext
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.media import Image
from headrace.core.operations import Embed, check_vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import TypeAlias

    from headrace.client.operations import Asking
    from headrace.core.operations import InputType, Vector
    from headrace.core.response import APIResponse, Responses
    from headrace.engine.streams import ResponseStream

    Text: TypeAlias = str | Image | Embed | RequestContext
    Texts: TypeAlias = Iterable[Text] | AsyncIterable[Text]


class EmbedOptions(OperationOptions, total=False):
    """``dimensions`` is how long vectors shall be, ``input_type`` what the texts are for."""

    dimensions: int | None
    input_type: InputType | None


class Embedding(Operating):
    """The verbs for vectors."""

    @overload
    async def embed(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str | Image, **options: Unpack[EmbedOptions]
    ) -> APIResponse[Vector]: ...
    @overload
    async def embed(self, texts: Texts, **options: Unpack[EmbedOptions]) -> Responses[Vector]: ...
    async def embed(
        self, texts: str | Image | Texts, **options: Unpack[EmbedOptions]
    ) -> APIResponse[Vector] | Responses[Vector]:
        """Turn texts, or images, into vectors; each ``parsed`` is an ``array`` of floats.

        Many texts go out in one exchange, as many as the endpoint takes, and each image in one of
        its own; each has its own row in cache and journal. ``dimensions`` shortens the vectors
        where a model can, ``input_type`` says what the texts are for: "query", "document",
        "classification", "clustering" or "similarity". A text may come as an ``Embed`` with
        options of its own, or as the prompt of a ``RequestContext`` with its id, model, tags or
        deadline.
        """
        asked = self._embed(texts, options)
        return cast("APIResponse[Vector] | Responses[Vector]", await self._asked(asked))

    @overload
    def embed_sync(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str | Image, **options: Unpack[EmbedOptions]
    ) -> APIResponse[Vector]: ...
    @overload
    def embed_sync(self, texts: Texts, **options: Unpack[EmbedOptions]) -> Responses[Vector]: ...
    def embed_sync(
        self, texts: str | Image | Texts, **options: Unpack[EmbedOptions]
    ) -> APIResponse[Vector] | Responses[Vector]:
        """``embed`` for scripts, threads and notebooks."""
        asked = self._embed(texts, options)
        return cast("APIResponse[Vector] | Responses[Vector]", self._asked_sync(asked))

    def embed_stream(
        self, texts: Texts, *, ordered: bool = False, **options: Unpack[EmbedOptions]
    ) -> ResponseStream:
        """Vectors as they come (or in order), in memory that does not grow with the run.

        ``async with client.embed_stream(texts) as responses: async for r in responses: …``
        """
        shown: EmbedOptions = {"show_progress": False, **options}
        asked = self._embed(texts, shown, ordered=ordered)
        return self._streamed(asked, ordered=ordered)

    def _embed(self, texts: str | Image | Texts, options: EmbedOptions, **more: object) -> Asking:
        dimensions, input_type = options.get("dimensions"), options.get("input_type")
        try:
            check_vectors(dimensions, input_type)
        except BadRowError as error:
            raise ConfigError(str(error)) from None

        def made(given: object) -> Embed | RequestContext:
            if isinstance(given, RequestContext):
                return replace(given, prompt=_asked_for(given.prompt, dimensions, input_type))
            return _asked_for(given, dimensions, input_type)

        given = cast("str | Iterable[str]", texts)
        return self._read(Embed.name, given, (str, Image), made, options, EmbedOptions, **more)


def _asked_for(given: object, dimensions: int | None, input_type: InputType | None) -> Embed:
    """A text with the options of all; what has its own keeps them."""
    if isinstance(given, Embed):
        if given.dimensions is not None:
            dimensions = given.dimensions
        return replace(given, dimensions=dimensions, input_type=given.input_type or input_type)
    # What is no text is found out when its turn comes.
    return Embed(cast("str", given), dimensions, input_type)

"""Texts into vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack, cast, overload

from headrace.client.operations import Operating
from headrace.core.errors import ConfigError
from headrace.core.media import Image
from headrace.core.operations import INPUT_TYPES, Embed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import TypeAlias

    from headrace.client.operations import Asking, OperationOptions
    from headrace.core.operations import InputType, Vector
    from headrace.core.response import APIResponse, Responses

    Inputs: TypeAlias = Iterable[str | Image] | AsyncIterable[str | Image]


class Embedding(Operating):
    """The verbs for vectors."""

    @overload
    async def embed(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self,
        texts: str | Image,
        *,
        dimensions: int | None = ...,
        input_type: InputType | None = ...,
        **options: Unpack[OperationOptions],
    ) -> APIResponse[Vector]: ...
    @overload
    async def embed(
        self,
        texts: Inputs,
        *,
        dimensions: int | None = ...,
        input_type: InputType | None = ...,
        **options: Unpack[OperationOptions],
    ) -> Responses[Vector]: ...
    async def embed(
        self,
        texts: str | Image | Inputs,
        *,
        dimensions: int | None = None,
        input_type: InputType | None = None,
        **options: Unpack[OperationOptions],
    ) -> APIResponse[Vector] | Responses[Vector]:
        """Turn texts, or images, into vectors; each ``parsed`` is an ``array`` of floats.

        Many texts go out in one exchange, as many as the endpoint takes, and each image in one of
        its own; each has its own row in cache and journal. ``dimensions`` shortens the vectors
        where a model can, ``input_type`` says what the texts are for: "query", "document",
        "classification", "clustering" or "similarity".
        """
        asked = self._embed(texts, dimensions, input_type, options)
        return cast("APIResponse[Vector] | Responses[Vector]", await self._asked(asked))

    @overload
    def embed_sync(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self,
        texts: str | Image,
        *,
        dimensions: int | None = ...,
        input_type: InputType | None = ...,
        **options: Unpack[OperationOptions],
    ) -> APIResponse[Vector]: ...
    @overload
    def embed_sync(
        self,
        texts: Inputs,
        *,
        dimensions: int | None = ...,
        input_type: InputType | None = ...,
        **options: Unpack[OperationOptions],
    ) -> Responses[Vector]: ...
    def embed_sync(
        self,
        texts: str | Image | Inputs,
        *,
        dimensions: int | None = None,
        input_type: InputType | None = None,
        **options: Unpack[OperationOptions],
    ) -> APIResponse[Vector] | Responses[Vector]:
        """``embed`` for scripts, threads and notebooks."""
        asked = self._embed(texts, dimensions, input_type, options)
        return cast("APIResponse[Vector] | Responses[Vector]", self._asked_sync(asked))

    def _embed(
        self,
        texts: str | Image | Inputs,
        dimensions: int | None,
        input_type: InputType | None,
        options: OperationOptions,
    ) -> Asking:
        if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
            msg = f"dimensions must be a whole number above zero, not {dimensions!r:.50}"
            raise ConfigError(msg)
        if input_type is not None and input_type not in INPUT_TYPES:
            msg = f"input_type must be one of {', '.join(INPUT_TYPES)}, not {input_type!r:.50}"
            raise ConfigError(msg)

        def made(given: object) -> Embed:
            return Embed(cast("str | Image", given), dimensions, input_type)

        return self._read(Embed.name, texts, (str, Image), made, options)

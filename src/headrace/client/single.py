"""One prompt: ask for an answer, or read it as it comes."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from headrace.client.assembly import Assembly
from headrace.client.options import AskOptions, PlainOptions
from headrace.core.chunks import EndChunk
from headrace.core.context import RequestContext
from headrace.core.errors import ConfigError, RunStoppedError
from headrace.engine.course import failed
from headrace.engine.pipeline import Pipeline
from headrace.engine.runs import Run
from headrace.engine.token_stream import TokenPipeline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from headrace.config import Asked, Call
    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse

T = TypeVar("T")


class Single(Assembly):
    """The verbs for one prompt."""

    @overload
    async def ask(
        self, prompt: Asked, *, output_schema: type[T], **options: Unpack[PlainOptions]
    ) -> APIResponse[T]: ...
    @overload
    async def ask(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]: ...
    async def ask(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]:
        """Send one prompt. What goes wrong is the response's ``error``, not an exception."""
        return await self._single(prompt, self._call(AskOptions, options))

    @overload
    def ask_sync(
        self, prompt: Asked, *, output_schema: type[T], **options: Unpack[PlainOptions]
    ) -> APIResponse[T]: ...
    @overload
    def ask_sync(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]: ...
    def ask_sync(self, prompt: Asked, **options: Unpack[AskOptions]) -> APIResponse[Any]:
        """``ask`` for scripts, threads and notebooks."""
        call = self._call(AskOptions, options)
        return self._portal.call(lambda: self._single(prompt, call))

    async def process_single_request(self, context: RequestContext) -> APIResponse[Any]:
        """Send one request that brings its own id, parameters, model, tags and deadline."""
        return await self._single(context, self._call(AskOptions, {}))

    def stream_tokens(
        self,
        prompt: Asked,
        *,
        on_break: Literal["error", "restart"] = "error",
        **options: Unpack[AskOptions],
    ) -> AsyncGenerator[Chunk]:
        """The answer to one prompt as it comes: chunks, and the whole response in the last one.

        Before the first chunk a failure is retried like any attempt. After it the error is raised,
        with what had come as its ``arrived``; or, with ``on_break="restart"``, a ``RestartChunk``
        says that the answer begins again, on the same or another route. Who leaves the loop early
        stops the stream; ``contextlib.aclosing`` does so at once.
        """
        if on_break not in {"error", "restart"}:
            msg = f'on_break must be "error" or "restart", not {on_break!r:.80}'
            raise ConfigError(msg)
        call = self._call(AskOptions, options, on_break=on_break)
        return self._stream(prompt, call, restarts=on_break == "restart")

    def stream_tokens_sync(
        self,
        prompt: Asked,
        *,
        on_break: Literal["error", "restart"] = "error",
        **options: Unpack[AskOptions],
    ) -> Generator[Chunk]:
        """``stream_tokens`` as a plain iterator, for scripts, threads and notebooks."""
        return self._stream_sync(self.stream_tokens(prompt, on_break=on_break, **options))

    def _stream_sync(self, chunks: AsyncGenerator[Chunk]) -> Generator[Chunk]:
        chunk = None
        try:
            while not isinstance(chunk, EndChunk):
                chunk = self._portal.call(lambda: _next(chunks))
                yield chunk
        finally:
            self._portal.call(chunks.aclose)

    async def _stream(self, prompt: object, call: Call, *, restarts: bool) -> AsyncGenerator[Chunk]:
        context = call.context(0, prompt, self._clock.now())
        run = Run(keep=False, counts_duplicates=False)
        async with self._here() as scope:
            await call.choice.start()
            self._fleet.revive(self._clock.now())
            pipeline = self._pipeline(TokenPipeline, scope, call.choice, run)
            async with aclosing(pipeline.stream(context, restarts=restarts)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _single(self, prompt: object, call: Call) -> APIResponse[Any]:
        index = prompt.index if isinstance(prompt, RequestContext) else 0
        context = call.context(index, prompt, self._clock.now())
        run = Run(keep=False, counts_duplicates=False)
        async with self._here() as scope:
            try:
                await call.choice.start()
                self._fleet.revive(self._clock.now())
                pipeline = self._pipeline(Pipeline, scope, call.choice, run)
                return await pipeline.answer(context)
            except RunStoppedError as error:
                return failed(context, error)


async def _next(chunks: AsyncGenerator[Chunk]) -> Chunk:
    try:
        return await anext(chunks)
    except StopAsyncIteration:  # its loop has ended, and closed it
        msg = "the client was closed while the answer came, which is not whole; ask again"
        raise RunStoppedError(msg) from None

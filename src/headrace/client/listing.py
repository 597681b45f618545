"""What an endpoint has: its models, and files that it keeps. Plain calls, sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict, TypeVar, Unpack

from headrace.adapters import registered
from headrace.adapters.http import HttpExchange
from headrace.client.assembly import Assembly
from headrace.config import refuse_unknown
from headrace.core.errors import ConfigError, HeldBackError, ReplyError
from headrace.core.listing import StoredFile
from headrace.core.media import File, sniff
from headrace.core.model import NO_MODEL
from headrace.core.plain import kind_of
from headrace.providers.catalog import CLASSES
from headrace.wire import files, models

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from headrace.core.listing import ListedModel
    from headrace.core.model import Endpoint, Route
    from headrace.engine.loops import LoopScope

T = TypeVar("T")
MOST_PAGES: Final = 1000


class _Open:
    """A gate that nothing shuts: these calls have no share in limits and breakers."""

    def is_shut(self) -> bool:
        return False

    def hear(self, status: int, headers: Mapping[str, str]) -> None:
        """A refusal is the caller's to see."""


class PlainCallOptions(TypedDict, total=False):
    """``model`` is "endpoint/model", an alias, or an endpoint alone; None: the client's first."""

    model: str | None


class UploadOptions(PlainCallOptions, total=False):
    """``purpose`` is what the vendor shall keep it for, in its own words."""

    purpose: str | None


class Listing(Assembly):
    """The verbs that ask for no answer of a model.

    ``model`` is "endpoint/model" or the name of an endpoint; None: the client's first. Each raises
    the ``ProviderError`` that its refusal is, and ``ConfigError`` before anything is sent.
    """

    async def list_models(self, model: str | None = None) -> list[ListedModel]:
        """Ask the vendor which models it has, with sizes and prices where it tells them."""
        return await self._plainly({"model": model}, "models", _models)

    def list_models_sync(self, model: str | None = None) -> list[ListedModel]:
        """``list_models`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.list_models(model))

    async def upload_file(self, file: File, **options: Unpack[UploadOptions]) -> StoredFile:
        """Let the vendor keep a file; its ``id`` is the ``file_id`` of a ``File`` or ``Image``."""
        if not isinstance(file, File):
            msg = f"upload_file takes a File, not {kind_of(file)}; make it with File.from_path"
            raise ConfigError(msg)

        async def send(exchange: HttpExchange, route: Route) -> StoredFile:
            draft = files.upload(route, file, options.get("purpose"))
            return files.read(
                await exchange.post(
                    draft.path, draft.body, draft.headers, content_type=draft.content_type
                )
            )

        return await self._plainly(options, "files", send, UploadOptions, files.entrance)

    def upload_file_sync(self, file: File, **options: Unpack[UploadOptions]) -> StoredFile:
        """``upload_file`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.upload_file(file, **options))

    async def list_files(self, **options: Unpack[PlainCallOptions]) -> list[StoredFile]:
        """All files that the vendor keeps."""
        return await self._plainly(options, "files", _files)

    def list_files_sync(self, **options: Unpack[PlainCallOptions]) -> list[StoredFile]:
        """``list_files`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.list_files(**options))

    async def get_file(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> StoredFile:
        """What the vendor says of one file that it keeps."""
        identity = _id_of(file_id)

        async def send(exchange: HttpExchange, route: Route) -> StoredFile:
            reply = await exchange.get(files.one(route, identity), files.headers(route))
            files.check(route, reply, identity)
            return files.read(reply)

        return await self._plainly(options, "files", send)

    def get_file_sync(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> StoredFile:
        """``get_file`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.get_file(file_id, **options))

    async def download_file(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> File:
        """The bytes of a file; its media type is read from the first of them."""
        identity = _id_of(file_id)

        async def send(exchange: HttpExchange, route: Route) -> File:
            reply = await exchange.get(files.content(route, identity), files.headers(route))
            files.check(route, reply, identity)
            if not reply.body:
                msg = f"the file {identity!r:.80} is empty; there is nothing to download"
                raise ReplyError(msg, status=reply.status, reply=reply)
            kind = sniff(reply.body) or "application/octet-stream"
            return File(data=reply.body, media_type=kind)

        return await self._plainly(options, "files", send)

    def download_file_sync(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> File:
        """``download_file`` for scripts, threads and notebooks."""
        return self._portal.call(lambda: self.download_file(file_id, **options))

    async def delete_file(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> None:
        """Let the vendor forget a file."""
        identity = _id_of(file_id)

        async def send(exchange: HttpExchange, route: Route) -> None:
            place = files.one(route, identity)
            files.check(route, await exchange.delete(place, files.headers(route)), identity)

        await self._plainly(options, "files", send)

    def delete_file_sync(
        self, file_id: str | StoredFile, **options: Unpack[PlainCallOptions]
    ) -> None:
        """``delete_file`` for scripts, threads and notebooks."""
        self._portal.call(lambda: self.delete_file(file_id, **options))

    async def _plainly(
        self,
        options: PlainCallOptions,
        operation: str,
        send: Callable[[HttpExchange, Route], Coroutine[object, object, T]],
        known: type[PlainCallOptions] = PlainCallOptions,
        way: Callable[[Route], Route] | None = None,
    ) -> T:
        """One call beside the pipeline, with the key and the time-out of a request.

        ``way`` says where it goes, if that is not where requests go.
        """
        refuse_unknown("this call", options, known.__annotations__)
        model = options.get("model")
        choice = self._usual.choice if model is None else self._fleet.choice(_whole(model))
        check_offers(choice.lanes[0].route, operation)
        with self._loops.here() as scope:
            await choice.start()
            route = choice.lanes[0].route
            exchange = self._exchange(scope, route if way is None else way(route))
            try:
                return await send(exchange, route)
            except HeldBackError:  # with renewed credentials, or for the time that AWS has
                return await send(exchange, route)

    def _exchange(self, scope: LoopScope, route: Route) -> HttpExchange:
        return HttpExchange(scope.transport, route, self.config.request_timeout, _Open())


async def _models(exchange: HttpExchange, route: Route) -> list[ListedModel]:
    found: list[ListedModel] = []
    cursor = None
    for _ in range(MOST_PAGES):  # a server that never ends must not fill memory
        path, headers = models.path(route.endpoint.wire, cursor)
        page = models.read(route, await exchange.get(path, headers))
        found += page.models
        cursor = page.cursor
        if cursor is None:
            break
    return found


async def _files(exchange: HttpExchange, route: Route) -> list[StoredFile]:
    found: list[StoredFile] = []
    cursor = None
    for _ in range(MOST_PAGES):
        place = files.listing(route, cursor)
        page = files.read_all(route, await exchange.get(place, files.headers(route)))
        found += page.files
        cursor = page.cursor
        if cursor is None:
            break
    return found


def _whole(model: object) -> object:
    """An endpoint alone is asked without a model; an alias is a model's."""
    is_one = not isinstance(model, str) or "/" in model or model in registered.table().aliases
    return model if is_one else f"{model}/{NO_MODEL}"


def _does(row: Endpoint, operation: str) -> bool:
    if operation == "models":
        return models.lists(row.wire)
    return operation in row.operations


def check_offers(route: Route, operation: str) -> None:
    """Raise ``ConfigError`` where the endpoint does not do ``operation``, saying which do."""
    row = route.endpoint
    # A request class of the user's own says itself what it cannot do.
    if _does(row, operation) or row.wire not in CLASSES:
        return
    if operation == "models":
        msg = f"the endpoint {row.name!r} lists no models that headrace can read; see its console"
        raise ConfigError(msg)
    rows = registered.table().all_endpoints()
    there = ", ".join(sorted(n for n, r in rows.items() if _does(r, operation)))
    msg = (
        f"the endpoint {row.name!r} does not {_SAID.get(operation, operation)}; use one of {there},"
        f" or give its row operations={{{operation!r}: {{}}}} where it does"
    )
    raise ConfigError(msg)


_SAID: Final = {"files": "keep files"}


def _id_of(file: object) -> str:
    """Which file is meant: by its id, or what was told of it."""
    found = file.id if isinstance(file, StoredFile) else file
    if not isinstance(found, str):
        msg = f"a file is named by its id, or by what list_files told of it, not by {kind_of(file)}"
        raise ConfigError(msg)
    return found

"""Doors to servers other than the usual one: over TLS, or by a protocol of the test's own."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import trustme

from headrace.testing.server.connection import Connection

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from headrace.testing import FakeServer


def server_context(folder: Path, expires: datetime | None = None) -> ssl.SSLContext:
    """What a server needs for TLS at 127.0.0.1; its authority is in ``folder/ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=expires).configure_cert(context)
    return context


async def tls_door(
    server: FakeServer, folder: Path, expires: datetime | None = None
) -> tuple[asyncio.Server, str]:
    """A second door to ``server``, over TLS; its authority is in ``folder/ca.pem``."""
    context = server_context(folder, expires)
    loop = asyncio.get_running_loop()
    door = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, ssl=context)
    return door, f"https://127.0.0.1:{address_of(door)[1]}/v1"


def address_of(door: asyncio.Server) -> tuple[str, int]:
    host, port = door.sockets[0].getsockname()[:2]
    return host, port

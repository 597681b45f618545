"""Whose certificates are trusted: those that the system trusts, or those of one file."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Literal

from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from typing import TypeAlias

    CaFile: TypeAlias = str | os.PathLike[str] | None


def trusted(ca_file: CaFile) -> ssl.SSLContext | Literal[True]:
    """For aiohttp, whose own context (True) trusts what the system and SSL_CERT_FILE do.

    Certificates are verified in any case. Raises ``ConfigError`` for a file without any.
    """
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        why = "it holds no certificate"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
    msg = f"ca_file {os.fspath(ca_file)!r} cannot be used ({why}); name a file in PEM form"
    raise ConfigError(msg)

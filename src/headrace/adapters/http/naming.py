"""aiohttp's exceptions as ours; the one place that knows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from headrace.core.errors import ConnectionLostError, NotSentError, OutcomeUnknownError
from headrace.registry.address import is_loopback
from headrace.wire import reading

if TYPE_CHECKING:
    from headrace.adapters.keys import Veil
    from headrace.core.model import Route

CAUGHT: Final = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
NOT_WHOLE: Final = "gave no whole reply within"
SILENT: Final = "was silent for"
_PROXY: Final = "check proxy= and the proxy variables of the environment"
_CHARGED: Final = "the request may have been charged"


class Naming(NamedTuple):
    """How the failures of one exchange are named; ``late`` says what took ``timeout`` seconds."""

    route: Route
    base_url: str
    veil: Veil
    timeout: float
    late: str

    def before_head(self, error: Exception) -> NotSentError | OutcomeUnknownError:
        """What became of a request to which no head of a reply came."""
        host = urlsplit(self.base_url).hostname
        return (
            _by_proxy(error, self._where, host)
            or _before_sending(error, self._where, host)
            or self._after_sending(error)
            or ConnectionLostError(
                f"{self._where} closed the connection without a reply: {_brief(error)}"
            )
        )

    def after_head(self, error: Exception) -> OutcomeUnknownError:
        """What became of a reply that had begun."""
        return self._after_sending(error) or OutcomeUnknownError(
            f"the reply of {self._where} broke off or was garbled; {_CHARGED}"
        )

    def _after_sending(self, error: Exception) -> OutcomeUnknownError | None:
        match error:
            case TimeoutError():
                said = f"{self._where} {self.late} {self.timeout:g} s; {_CHARGED}"
            case aiohttp.ClientPayloadError():
                said = f"the reply of {self._where} broke off or was garbled; {_CHARGED}"
            case aiohttp.ClientResponseError():
                quoted = reading.clean(self.veil.over_text(error.message))
                said = f"{self._where} sent something that is not HTTP: {quoted}"
            case _:
                return None
        return OutcomeUnknownError(said)

    @property
    def _where(self) -> str:
        return f"{self.base_url} ({self.route.id})"


def _by_proxy(error: Exception, where: str, host: str | None) -> NotSentError | None:
    match error:
        case aiohttp.ClientProxyConnectionError():
            said = f"cannot be connected to: {_brief(error)}; {_PROXY}"
        case aiohttp.ClientConnectorDNSError() if error.host != host:
            said = f"cannot be found; {_PROXY}, and the network"
        case aiohttp.ClientHttpProxyError():  # its text has the proxy's URL, maybe with a password
            said = f"refused with status {error.status}; check proxy="
        case _:
            return None
    return NotSentError(f"the proxy on the way to {where} {said}")


def _before_sending(error: Exception, where: str, host: str | None) -> NotSentError | None:
    match error:
        case aiohttp.ConnectionTimeoutError() if where[:6] == "https:" and is_loopback(host or ""):
            # A connection to this machine takes no time; its TLS handshake got no answer.
            said = f"{where} does not answer over TLS; perhaps the server speaks http"
        case aiohttp.ClientConnectorCertificateError():
            said = (
                f"{where} has no TLS certificate that is trusted here: {_brief(error)};"
                " check base_url, or pass ca_file="
            )
        case aiohttp.ClientConnectorSSLError():
            said = (
                f"{where} cannot be spoken to over TLS: {_brief(error)};"
                " check the scheme and the port of base_url"
            )
        case aiohttp.ClientConnectorDNSError():
            said = f"the host of {where} cannot be found; check base_url and the network"
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            said = (
                f"{where} cannot be connected to: {_why(error)};"
                " check base_url and that the server runs"
            )
        case aiohttp.InvalidURL():
            said = f"{where} is no URL that can be asked; check base_url and proxy="
        case ValueError():
            said = f"the request to {where} cannot be written: {_brief(error)}; check its headers"
        case _:
            return None
    return NotSentError(said)


def _why(error: Exception) -> str:
    """The system's own word, without aiohttp's."""
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    return os.strerror(number).lower() if number and number > 0 else _brief(cause)


def _brief(error: Exception) -> str:
    return reading.clean(str(error)) or type(error).__name__

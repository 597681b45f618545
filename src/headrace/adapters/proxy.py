"""The address of an HTTP proxy, which may hold a password that nobody gets to see."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from headrace.core.errors import ConfigError
from headrace.core.secret import Secret
from headrace.registry.address import is_loopback

_FORM: Final = (
    "proxy must look like http://host:3128, or like http://name:password@host:3128 with each of"
    " @ : / ? # in name and password as %40 %3A %2F %3F %23"
)


class Proxy:
    """A proxy's URL. Shown, it is without user name and password; with them, it cannot travel."""

    __slots__ = ("_shown", "_url", "is_here")

    def __init__(self, url: str) -> None:
        """Raise ``ConfigError`` for what is no such URL; it is not in the message."""
        self._shown = "********"
        parts = _split(url)
        self._url = Secret(url)
        self.is_here = is_loopback(parts.hostname or "")
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @classmethod
    def of(cls, setting: object) -> Proxy | None:
        """What the setting ``proxy`` means: None, a URL, or a ``Proxy``."""
        if setting is None or isinstance(setting, Proxy):
            return setting
        if not isinstance(setting, str):
            raise ConfigError(_FORM)
        return cls(setting)

    @classmethod
    def of_environment(cls, url: str) -> Proxy | None:
        """What ``http_proxy``, ``https_proxy`` and ``no_proxy`` say of the way to ``url``.

        None on the way to this machine, where a proxy would not find what is meant.
        """
        parts = urlsplit(url)
        found = getproxies().get(parts.scheme)
        if not found or is_loopback(parts.hostname or "") or proxy_bypass(parts.netloc):
            return None
        return cls(found if "://" in found else f"http://{found}")

    def reveal(self) -> str:
        """The whole URL, for the moment of sending."""
        return self._url.reveal()

    def __repr__(self) -> str:
        return f"Proxy({self._shown!r})"

    def __str__(self) -> str:
        return self._shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._url == other._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __reduce__(self) -> tuple[type[Proxy], tuple[str]]:
        if "@" in self._url.reveal():
            msg = (
                "a proxy with a password cannot be pickled or copied; put it into the environment"
                " (HTTPS_PROXY) and pass trust_env=True"
            )
            raise TypeError(msg)
        return (Proxy, (self._url.reveal(),))


def _split(url: str) -> SplitResult:
    try:
        Secret(url)
        parts = urlsplit(url)
        _ = parts.port
        unquote(parts.netloc).encode("latin-1")  # all that a proxy can be told
    except ValueError:
        raise ConfigError(_FORM) from None
    # A mark that was not quoted ends the host too soon, and what is shown would hold a password.
    is_whole = not parts.query and not parts.fragment and parts.path in {"", "/"}
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_whole:
        raise ConfigError(_FORM)
    return parts

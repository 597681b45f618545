"""The type that holds an API key, and shows it only to whoever asks for it by name."""

from __future__ import annotations

import hmac
from typing import Any, Never

from headrace.core.errors import ConfigError


class Secret:
    """A value that is masked in every form and refuses to be copied out of the process."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Reject what could not be sent in a header; the value never appears in the message."""
        if not isinstance(value, str) or not _fits_a_header(value):
            del value  # nor in a traceback with local variables
            msg = (
                "the API key is not text, is empty, has spaces around it,"
                " or holds a character that no header may carry"
            )
            raise ConfigError(msg)
        self._value = value

    @classmethod
    def several(cls, given: object) -> tuple[Secret, ...]:
        """One secret for each key of a list, or for one alone; none for None."""
        left: list[Any] = (
            [*given] if isinstance(given, list | tuple) else [] if given is None else [given]
        )
        is_empty = given is not None and not left
        del given
        secrets: list[Secret] = []
        try:
            while left:
                secrets.append(cls(left.pop(0)))
        finally:
            left.clear()  # or a traceback with local variables would show them
        if is_empty or len(set(secrets)) < len(secrets):
            msg = "api_key is an empty list, or has a key twice; give each key once"
            raise ConfigError(msg)
        return tuple(secrets)

    def reveal(self) -> str:
        """The key itself, for the moment of sending."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Never:
        msg = "a Secret cannot be pickled or copied; pass the name of its environment variable"
        raise TypeError(msg)

    __getstate__ = __reduce__


class Masked(str):
    """A secret on its way into a header, which tracebacks with local variables do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def _fits_a_header(value: str) -> bool:
    return bool(value) and value == value.strip() and value.isascii() and value.isprintable()

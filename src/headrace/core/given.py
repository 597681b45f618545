"""What ``api_key=`` holds: texts, or what AWS's own clients take, by the names it has there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from headrace.core.errors import ConfigError
from headrace.core.model import AwsKeys, KeySource
from headrace.core.secret import Masked, Secret

ApiKey: TypeAlias = str | Mapping[str, str]
_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key")
_TOKEN: Final = "aws_session_token"  # noqa: S105 - the name of one
_PROFILE: Final = "aws_profile"


def sources(given: object) -> tuple[KeySource, ...]:
    """Where each key comes from; none for None. Raises ``ConfigError`` that shows no key."""
    if given is None:
        return ()
    several = given if isinstance(given, list | tuple) else (given,)
    left: list[Any] = [Masked(item) if isinstance(item, str) else item for item in several]
    del given, several
    try:
        if not any(isinstance(item, Mapping) for item in left):
            secrets = Secret.several([*left])
            return tuple(KeySource(secret=secret) for secret in secrets)
        found: list[KeySource] = []
        while left:
            found.append(_source(left.pop(0)))
    finally:
        left.clear()  # or a traceback with local variables would show them
    if len(set(found)) < len(found):
        msg = "api_key has a key twice; give each key once"
        raise ConfigError(msg)
    return tuple(found)


def _source(item: object) -> KeySource:
    if not isinstance(item, Mapping):
        [secret] = Secret.several([item])
        return KeySource(secret=secret)
    held = {name: Masked(text) for name, text in item.items() if isinstance(text, str)}
    is_text = len(held) == len(item)
    del item
    if is_text and held.keys() == {_PROFILE}:
        return KeySource(profile=str(held[_PROFILE]))
    if not is_text or held.keys() - {_TOKEN} != set(_KEYS):
        msg = (
            f"api_key as a dict holds {' and '.join(_KEYS)}, maybe {_TOKEN}, or {_PROFILE} alone,"
            " each a text"
        )
        raise ConfigError(msg)
    token = Secret(held[_TOKEN]) if _TOKEN in held else None
    return KeySource(aws=AwsKeys(held[_KEYS[0]], Secret(held[_KEYS[1]]), token))

"""Profile files: ``~/.aws/credentials`` and ``~/.aws/config``, read anew when they have changed.

Values stay within configparser's own objects, which do not show them, until a ``Secret`` holds
them. What Python says of a file that it cannot read quotes the line, so that none of it is kept.
"""

from __future__ import annotations

import os
import stat
from configparser import ParsingError, RawConfigParser
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from headrace.core.errors import ConfigError
from headrace.core.model import AwsKeys
from headrace.core.secret import Secret

_MOST_BYTES: Final = 1024 * 1024
# What leads to keys by a way that headrace does not go.
_WAYS: Final = {
    "sso_session": "signs in through SSO",
    "sso_start_url": "signs in through SSO",
    "login_session": "signs in through a browser",
    "web_identity_token_file": "takes on a role with a web identity",
    "credential_process": "starts a program for its credentials",
    "credential_source": "takes on a role",
    "source_profile": "takes on a role",
}
_EXPORT: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
_Stamp: TypeAlias = tuple[int, int, int]
_Parsed: TypeAlias = RawConfigParser | None
_read: dict[str, tuple[_Stamp, RawConfigParser | str]] = {}
_found: dict[str, tuple[list[_Parsed], Profile | None]] = {}


class Profile:
    """One profile, as its two files have it together."""

    def __init__(self, name: str, sections: tuple[tuple[str, RawConfigParser, str], ...]) -> None:
        """``sections``: path, what was read of it, and what the profile is called there."""
        self.name = name
        self._sections = sections

    @cached_property
    def region(self) -> str | None:
        """Where the profile is at home."""
        return self._value("region")

    @cached_property
    def keys(self) -> AwsKeys:
        """Its keys; raises ``ConfigError`` where it has none, or comes to them by another way."""
        way = next((said for name, said in _WAYS.items() if self._value(name)), None)
        if self._value("role_arn"):  # whatever else it has is not whom it is to act as
            raise self._elsewhere(way or "takes on a role")
        names = ("aws_access_key_id", "aws_secret_access_key")
        for path, parser, section in self._sections:
            if any(parser.get(section, name, fallback="") for name in names):
                return _keys(self.name, path, parser, section)
        if way is not None:
            raise self._elsewhere(way)
        msg = f"the AWS profile {self.name!r} has no aws_access_key_id; add it, or {_EXPORT}"
        raise ConfigError(msg)

    def _elsewhere(self, way: str) -> ConfigError:
        return ConfigError(
            f"the AWS profile {self.name!r} {way}, which headrace does not do; run `aws configure"
            f" export-credentials --profile {self.name} --format env`, and set what it prints"
        )

    def _value(self, name: str) -> str | None:
        found = (p.get(section, name, fallback="").strip() for _, p, section in self._sections)
        return next(filter(None, found), None)


def find(name: str | None) -> Profile | None:
    """The profile of this name, or the one that the environment names, or the default one.

    None where nobody names one and there is no default. Raises ``ConfigError`` for one that is not
    there, and for a file that cannot be read.
    """
    named = name or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    wanted, parsed = named or "default", [_parsed(path) for path, _ in _paths()]
    known = _found.get(wanted)
    if known is None or any(old is not new for old, new in zip(known[0], parsed, strict=True)):
        known = _found[wanted] = (parsed, _together(wanted, parsed))
    if known[1] is not None or named is None:
        return known[1]
    places = " nor in ".join(path for path, _ in _paths())
    msg = (
        f"there is no AWS profile {named!r} in {places}; name one that is there, in AWS_PROFILE or"
        " for this route"
    )
    raise ConfigError(msg)


def _together(wanted: str, parsed: list[_Parsed]) -> Profile | None:
    """What both files have of a profile."""
    sections = tuple(
        (path, parser, section)
        for (path, is_config), parser in zip(_paths(), parsed, strict=True)
        if parser is not None
        for section in parser.sections()
        if _called(section, is_config=is_config) == wanted
    )
    return Profile(wanted, sections) if sections else None


def forget() -> None:
    """Read the files again next time, changed or not."""
    _read.clear()
    _found.clear()


def _paths() -> tuple[tuple[str, bool], tuple[str, bool]]:
    """Both files, and whether it is the one for configuration; keys of the first win."""
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    config = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    return (os.path.expanduser(credentials), False), (os.path.expanduser(config), True)  # noqa: PTH111 - twice a request; Path takes ten times as long


def _called(section: str, *, is_config: bool) -> str | None:
    """The profile that a section is of; the configuration writes ``[profile NAME]``."""
    if not is_config or section == "default":
        return section
    kind, _, name = section.strip().partition(" ")
    return name.strip().strip("\"'") if kind == "profile" else None


def _parsed(path: str) -> RawConfigParser | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(_unreadable(path, _why(error))) from None
    if path == os.devnull:
        return None
    if not stat.S_ISREG(found.st_mode):  # reading a pipe might never end
        raise ConfigError(_unreadable(path, "is no plain file"))
    stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    known = _read.get(path)
    if known is None or known[0] != stamp:
        if len(_read) > 64:  # noqa: PLR2004 - who changes the path often fills no memory
            forget()
        known = _read[path] = (stamp, _parse(path, found.st_size))
    if isinstance(known[1], str):
        raise ConfigError(_unreadable(path, known[1]))
    return known[1]


def _parse(path: str, size: int) -> RawConfigParser | str:
    """What is in the file, or what is wrong with it."""
    if size > _MOST_BYTES:
        return "is larger than 1 MiB"
    # No section is a default of others, and a percent sign is one.
    parser = RawConfigParser(default_section="", strict=False)
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            parser.read_file(file)
    except OSError as error:
        return _why(error)
    except ParsingError as error:
        lines = [line for line, _ in getattr(error, "errors", ())]
        first = lines[0] if lines else getattr(error, "lineno", 1)
        return f"is no INI file, as line {first} shows"
    except ValueError:
        return "is not text in UTF-8"
    return parser


def _why(error: Exception) -> str:
    said = getattr(error, "strerror", None)
    return f"cannot be read: {said.lower()}" if said else "cannot be read"


def _unreadable(path: str, what: str) -> str:
    return f"the AWS file {path} {what}; mend it, or {_EXPORT}"


def _keys(name: str, path: str, parser: RawConfigParser, section: str) -> AwsKeys:
    where = f"the AWS profile {name!r} in {path}"
    key_id = parser.get(section, "aws_access_key_id", fallback="").strip()
    if not key_id:
        msg = f"{where} has an aws_secret_access_key and no aws_access_key_id; add it"
        raise ConfigError(msg)
    try:
        secret = _secret(parser, section, "aws_secret_access_key")
        token = _secret(parser, section, "aws_session_token")
        if secret is not None:
            return AwsKeys(key_id, secret, token)
        said = "has an aws_access_key_id and no aws_secret_access_key"
    except ConfigError:
        said = "holds a key that no header may carry, or an id that is none"
    msg = f"{where} {said}; mend it, or {_EXPORT}"
    raise ConfigError(msg)


def _secret(parser: RawConfigParser, section: str, option: str) -> Secret | None:
    if not parser.get(section, option, fallback=""):
        return None
    return Secret(parser.get(section, option))
